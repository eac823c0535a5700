//! Crops and nearest-neighbour indices against the reference's, exactly.

mod common;

use common::{Oracle, host};
use diffguard_guidance::{
    cutouts::{Crop, cut, draw_crops},
    nearest::nearest_indices,
};

#[test]
fn crops_and_indices() {
    let oracle = Oracle::open("cutouts/nearest");
    let crops: Vec<Crop> = oracle
        .ints("in.crops")
        .chunks(3)
        .map(|c| Crop {
            size: c[0] as usize,
            y: c[1] as usize,
            x: c[2] as usize,
        })
        .collect();
    let cutouts = cut(oracle.tensor("in.image"), &crops, 28);
    assert_eq!(cutouts.dims().to_vec(), oracle.shape("out.cutouts"));
    oracle.check("out.cutouts", &host(&cutouts));
    for target in [16, 28, 224] {
        let got: Vec<f64> = oracle
            .ints(&format!("in.sizes_to_{target}"))
            .iter()
            .flat_map(|size| nearest_indices(*size as usize, target))
            .map(|i| i as f64)
            .collect();
        oracle.check(&format!("out.index_to_{target}"), &got);
    }
}

#[test]
fn crops_are_drawn_within_the_image_and_by_their_key_alone() {
    let crops = draw_crops(1, 4, 200, 32, 28, 1.0);
    assert!(
        crops
            .iter()
            .all(|c| (28..32).contains(&c.size) && c.y + c.size <= 32 && c.x + c.size <= 32)
    );
    assert!((28..32).all(|size| crops.iter().any(|c| c.size == size)));
    assert_eq!(crops[..8], draw_crops(1, 4, 8, 32, 28, 1.0));
    assert_ne!(crops[..8], draw_crops(1, 5, 8, 32, 28, 1.0));
    assert_ne!(crops[..8], draw_crops(2, 4, 8, 32, 28, 1.0));
    assert!(draw_crops(0, 0, 4, 28, 28, 1.0).iter().all(|c| *c
        == Crop {
            size: 28,
            y: 0,
            x: 0
        }));
}
