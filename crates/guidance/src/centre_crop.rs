//! A classifier that looks at the centre of images larger than its own: ImageNet's classifiers see 224 x 224 pixels, its
//! diffusion models make 256 x 256. The centre of an image of 256 pixels is what OpenOOD's transform gives the classifier,
//! so that its predictions are those of the benchmark.

use burn::tensor::Tensor;
use diffguard_models::Classifier;

/// See the module's documentation.
pub struct CentreCrop(Box<dyn Classifier>);

impl CentreCrop {
    /// `classifier`, behind a centre crop to its input side. Images that are not larger are given to it whole.
    pub fn new(classifier: Box<dyn Classifier>) -> Self {
        Self(classifier)
    }

    fn crop(&self, image: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = image.dims();
        let seen = self.seen([height, width]);
        if seen == [height, width] {
            return image;
        }
        centre(image, seen)
    }
}

/// First row and column of the centre of an image (torchvision's `center_crop`: halves are rounded to even).
fn corner([height, width]: [usize; 2], seen: [usize; 2]) -> [usize; 2] {
    let first = |side: usize, seen: usize| ((side - seen) as f64 / 2.0).round_ties_even() as usize;
    [first(height, seen[0]), first(width, seen[1])]
}

/// A map `[batch, 1, h, w]` of the centre of images, with zeros around it: `[batch, 1, height, width]`.
pub(crate) fn around(map: Tensor<4>, [height, width]: [usize; 2]) -> Tensor<4> {
    let [batch, channel, high, wide] = map.dims();
    if [high, wide] == [height, width] {
        return map;
    }
    let [top, left] = corner([height, width], [high, wide]);
    let whole = Tensor::zeros([batch, channel, height, width], &map.device());
    let (rows, columns) = (top..top + high, left..left + wide);
    whole.slice_assign([0..batch, 0..channel, rows, columns], map)
}

/// The centre `seen` of images.
pub(crate) fn centre(image: Tensor<4>, seen: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = image.dims();
    let [top, left] = corner([height, width], seen);
    image.narrow(2, top, seen[0]).narrow(3, left, seen[1])
}

impl Classifier for CentreCrop {
    fn last_stage(&self, image: Tensor<4>) -> Tensor<4> {
        self.0.last_stage(self.crop(image))
    }

    fn pool(&self, activations: Tensor<4>) -> Tensor<2> {
        self.0.pool(activations)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.0.head(features)
    }

    fn head_parameters(&self) -> (Tensor<2>, Tensor<1>) {
        self.0.head_parameters()
    }

    fn num_classes(&self) -> usize {
        self.0.num_classes()
    }

    fn input_side(&self) -> usize {
        self.0.input_side()
    }

    fn check_input(
        &self,
        [channels, height, width]: [usize; 3],
    ) -> Result<(), diffguard_models::Error> {
        let [height, width] = self.seen([height, width]);
        self.0.check_input([channels, height, width])
    }

    fn seen(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        let side = self.input_side();
        [height.min(side), width.min(side)]
    }

    fn stage_activations(&self, image: Tensor<4>) -> Vec<Tensor<4>> {
        self.0.stage_activations(self.crop(image))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use diffguard_models::vgg::Vgg16Config;

    use super::*;

    #[test]
    fn images_that_the_classifier_refuses_are_refused() {
        let classifier = Vgg16Config::new(10)
            .with_input_side(64)
            .init(&Device::flex());
        let cropped = CentreCrop::new(Box::new(classifier));
        assert!(cropped.check_input([3, 256, 256]).is_ok());
        assert!(cropped.check_input([3, 64, 48]).is_ok());
        // One channel where it takes three; fewer pixels than its poolings need.
        assert!(cropped.check_input([1, 64, 64]).is_err());
        assert!(cropped.check_input([3, 16, 64]).is_err());
    }
}
