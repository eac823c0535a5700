//! Linear layers on few rows: the sum of a row is taken in the same order however many rows there are.

use burn::tensor::Tensor;
use burn::tensor::module::linear;

use crate::is_flex;

/// Rows of one matrix product. A product of one or two rows adds its terms in another order than one of many, and so does
/// one of at most 256 values; from here on neither is met.
pub const ROWS: usize = 16;

/// `x * weight^T + bias` of `x` `[row, in]`, `weight` `[out, in]` and, where there is one, `bias` `[out]`: `[row, out]`.
///
/// On the CPU the rows are cut into products of [`ROWS`], the last one filled up with zeros, so that a row's bits do not
/// depend on the others: a network that multiplies small differences would show in a sample how large its batch was.
pub fn linear_rows(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let [rows, inputs] = x.dims();
    let device = x.device();
    let weight = weight.transpose();
    if rows == 0 || !is_flex(&device) {
        return linear(x, weight, bias);
    }
    let filled = rows.next_multiple_of(ROWS);
    let x = match filled - rows {
        0 => x,
        missing => Tensor::cat(vec![x, Tensor::zeros([missing, inputs], &device)], 0),
    };
    let mut products: Vec<Tensor<2>> = x
        .split(ROWS, 0)
        .into_iter()
        .map(|x| linear(x, weight.clone(), bias.clone()))
        .collect();
    let y = match products.len() {
        1 => products.remove(0),
        _ => Tensor::cat(products, 0),
    };
    y.narrow(0, 0, rows)
}
