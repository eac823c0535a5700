//! How crops are drawn.

use diffguard_guidance::cutouts::{Crop, draw_crops};

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
