//! Which class a synthesis follows.

use diffguard_guidance::{Known, LabelSource};

const CLASSES: usize = 4;
/// Predictions 1, 2, 3; second choices 2, 0, 0; confidences about 0.97, 0.50 and 0.27.
const LOGITS: [f32; 12] = [
    0.0, 5.0, 1.0, -1.0, //
    2.0, 0.0, 2.5, 1.0, //
    0.1, 0.0, 0.05, 0.2,
];

fn choose(source: LabelSource, truth: &[Option<usize>], samples: &[u64]) -> Vec<i64> {
    let first = 3 - samples.len();
    let known = Known {
        logits: &LOGITS[first * CLASSES..],
        classes: CLASSES,
        truth,
        samples,
    };
    source.choose(&known, 0).unwrap()
}

#[test]
fn predictions_and_oracles() {
    let truth = [Some(0), None, None];
    let of = |source| choose(source, &truth, &[7, 8, 9]);
    assert_eq!(of(LabelSource::Predicted), [1, 2, 3]);
    assert_eq!(of(LabelSource::OracleId), [0, 2, 3]);
    let oracle = of(LabelSource::Oracle);
    assert_eq!(oracle[0], 0);
    let alone = choose(LabelSource::Oracle, &[None], &[9]);
    assert_eq!(alone[0], oracle[2]);
    let drawn = |sample| choose(LabelSource::Oracle, &[None], &[sample])[0];
    let drawn: Vec<i64> = (0..64).map(drawn).collect();
    assert!((0..4).all(|class| drawn.contains(&class)));
}

#[test]
fn wrong_labels_on_purpose() {
    let of = |source| choose(source, &[], &[7, 8, 9]);
    assert_eq!(of(LabelSource::RandomOfTop(1)), [1, 2, 3]);
    let drawn = |sample| choose(LabelSource::RandomOfTop(2), &[], &[sample])[0];
    let drawn: Vec<i64> = (0..64).map(drawn).collect();
    assert!(drawn.contains(&3) && drawn.contains(&0));
    assert!(drawn.iter().all(|class| [0, 3].contains(class)));
    assert_eq!(of(LabelSource::SecondBelow(0.2)), [1, 2, 3]);
    assert_eq!(of(LabelSource::SecondBelow(0.3)), [1, 2, 0]);
    assert_eq!(of(LabelSource::SecondBelow(0.6)), [1, 0, 0]);
    assert_eq!(of(LabelSource::SecondBelow(1.0)), [2, 0, 0]);
}

#[test]
fn what_cannot_be_chosen_is_refused() {
    let refuse = |source: LabelSource, classes: usize, truth: &[Option<usize>]| {
        let known = Known {
            logits: &LOGITS,
            classes,
            truth,
            samples: &[7, 8, 9],
        };
        source.choose(&known, 0).unwrap_err().to_string()
    };
    assert!(refuse(LabelSource::Predicted, 5, &[]).contains("15 logits"));
    assert!(refuse(LabelSource::Predicted, 4, &[None]).contains("true label"));
    assert!(refuse(LabelSource::Oracle, 4, &[]).contains("true labels"));
    assert!(refuse(LabelSource::RandomOfTop(5), 4, &[]).contains("random_of_top = 5"));
    assert!(refuse(LabelSource::RandomOfTop(0), 4, &[]).contains("1 to 4"));
    assert!(refuse(LabelSource::SecondBelow(1.5), 4, &[]).contains("confidence"));
}

#[test]
fn names() {
    let read = |text: &str| serde_json::from_str::<LabelSource>(text).unwrap();
    assert_eq!(read(r#""oracle_id""#), LabelSource::OracleId);
    assert_eq!(read(r#"{"random_of_top": 3}"#), LabelSource::RandomOfTop(3));
    assert_eq!(
        read(r#"{"second_below": 0.5}"#),
        LabelSource::SecondBelow(0.5)
    );
    assert!(serde_json::from_str::<LabelSource>(r#""oracles""#).is_err());
}
