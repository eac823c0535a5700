//! Schedules and spacings: what golden cases do not say.

use diffguard_guidance::{ScheduleConfig, SpacingConfig, Trajectory};

#[test]
fn latent_spacing_does_not_always_have_the_asked_count() {
    let count = |text: &str| {
        text.parse::<SpacingConfig>()
            .unwrap()
            .timesteps(1000)
            .unwrap()
            .len()
    };
    assert_eq!(count("uniform7"), 8);
    assert_eq!(count("uniform30"), 31);
    assert_eq!(count("uniform1000"), 999);
}

#[test]
fn a_spacing_that_does_not_exist_names_its_neighbours() {
    for (text, near) in [
        ("ddim60", ["ddim59", "ddim63"]),
        ("ddim400", ["ddim334", "ddim500"]),
    ] {
        let message = text
            .parse::<SpacingConfig>()
            .unwrap()
            .timesteps(1000)
            .unwrap_err()
            .to_string();
        assert!(near.iter().all(|n| message.contains(n)), "{message}");
    }
    for text in [
        "",
        "ddim",
        "ddim0",
        "dim25",
        "10,,20",
        "10,-1",
        "uniform",
        "diffnb20@",
    ] {
        assert!(text.parse::<SpacingConfig>().is_err(), "{text}");
    }
}

#[test]
fn configurations_refuse_unknown_keys() {
    let read = |text: &str| serde_json::from_str::<ScheduleConfig>(text);
    assert_eq!(
        read(r#"{"kind": "cosine"}"#).unwrap(),
        ScheduleConfig::Cosine { steps: 1000 }
    );
    assert!(read(r#"{"kind": "cosine", "stepz": 400}"#).is_err());
    assert!(read(r#"{"kind": "cosines"}"#).is_err());
}

#[test]
fn steps_of_diffnb() {
    let schedule = ScheduleConfig::Linear {
        steps: 1000,
        start: 1e-4,
        end: 2e-2,
    }
    .init()
    .unwrap();
    let abar = schedule.alphas_cumprod();
    let of = |text: &str| Trajectory::new(&schedule, &text.parse().unwrap()).unwrap();
    let steps =
        |moves: &[diffguard_guidance::Move]| moves.iter().map(|m| m.t as i64).collect::<Vec<_>>();

    let down = of("diffnb20@239");
    assert_eq!(steps(down.synthesis()), [39, 89, 139, 189, 239]);
    assert_eq!(down.synthesis()[0].to, abar[0]);
    assert_eq!(down.synthesis()[4].from, abar[240]);
    assert_eq!(steps(of("diffnb20@119").synthesis()), [19, 69, 119]);

    let up = of("diffnb20@199");
    assert_eq!(steps(up.inversion()), [-1, 49, 99, 149]);
    assert_eq!(
        (up.inversion()[0].from, up.inversion()[3].to),
        (abar[0], abar[200])
    );
    assert_eq!(up.start_after(3, None), 3);

    let all = of("diffnb20");
    assert_eq!((all.len(), all.inversion()[18].to), (19, abar[950]));
    assert_eq!(all.synthesis()[18].from, abar[950]);
}
