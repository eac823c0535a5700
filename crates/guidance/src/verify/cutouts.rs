//! Golden cases of kind `cutouts`.

use diffguard_oracle::{Case, Kind, Produced, Result};

use super::tensors::{entries, tensor, values};
use crate::{
    cutouts::{Crop, cut},
    nearest::nearest_indices,
};

/// The kind `cutouts`: crops and nearest-neighbour indices, exactly.
pub(super) const KIND: Kind = Kind {
    name: "cutouts",
    run,
    not_produced: &[],
};

fn run(case: &Case) -> Result<Vec<Produced>> {
    let side = case.whole("cut_size")? as usize;
    let seen = cut(tensor(case, "in.image")?, &crops(case, "in.crops")?, side);
    let mut produced = vec![Produced::new("out.cutouts", values(&seen))];
    for target in entries(case, "index_tables")? {
        let to = target.as_u64().unwrap_or(0) as usize;
        let sizes = case.indices(&format!("in.sizes_to_{to}"))?;
        let indices: Vec<usize> = sizes
            .iter()
            .flat_map(|size| nearest_indices(*size, to))
            .collect();
        produced.push(Produced::whole(format!("out.index_to_{to}"), &indices));
    }
    Ok(produced)
}

/// Crops as the cases store them: size, first row, first column.
pub(super) fn crops(case: &Case, name: &str) -> Result<Vec<Crop>> {
    let stored = case.indices(name)?;
    Ok(stored
        .as_chunks::<3>()
        .0
        .iter()
        .map(|&[size, y, x]| Crop { size, y, x })
        .collect())
}
