//! Schedules and spacings against the reference's.

mod common;

use common::Oracle;
use diffguard_guidance::{Schedule, ScheduleConfig, SpacingConfig, Trajectory, spacing::Respaced};

fn check_schedule(case: &str, config: ScheduleConfig) -> (Oracle, Schedule) {
    let oracle = Oracle::open(&format!("schedule/{case}"));
    let schedule = config.init().unwrap();
    assert_eq!(
        schedule.steps() as u64,
        oracle.config["T"].as_u64().unwrap()
    );
    oracle.check("out.betas", schedule.betas());
    oracle.check("out.alphas_cumprod", schedule.alphas_cumprod());
    (oracle, schedule)
}

#[test]
fn guided_schedules() {
    check_schedule(
        "guided_linear_1000",
        ScheduleConfig::GuidedLinear { steps: 1000 },
    );
    check_schedule(
        "guided_linear_400",
        ScheduleConfig::GuidedLinear { steps: 400 },
    );
    check_schedule("guided_cosine_1000", ScheduleConfig::Cosine { steps: 1000 });
}

#[test]
fn diffood_schedule() {
    check_schedule(
        "diffood_linear_1000",
        ScheduleConfig::Linear {
            steps: 1000,
            start: 1e-4,
            end: 2e-2,
        },
    );
}

#[test]
fn guided_spacings() {
    let oracle = Oracle::open("schedule/guided_spacing_linear_1000");
    let schedule = ScheduleConfig::default().init().unwrap();
    for entry in oracle.config["spacings"].as_array().unwrap() {
        let (spec, key) = (
            entry["spec"].as_str().unwrap(),
            entry["key"].as_str().unwrap(),
        );
        let spacing: SpacingConfig = spec.parse().unwrap();
        assert_eq!(spacing.to_string(), spec);
        let levels = Respaced::new(&schedule, &spacing).unwrap();
        let steps: Vec<i64> = levels.timesteps.iter().map(|t| *t as i64).collect();
        assert_eq!(
            steps,
            oracle.ints(&format!("out.{key}.timestep_map")),
            "{spec}"
        );
        oracle.check(&format!("out.{key}.alphas_cumprod"), &levels.abar);
        oracle.check(&format!("out.{key}.alphas_cumprod_prev"), &levels.abar_prev);
        oracle.check(&format!("out.{key}.alphas_cumprod_next"), &levels.abar_next);
        oracle.check(&format!("out.{key}.betas"), &levels.betas);
        let trajectory = Trajectory::new(&schedule, &spacing).unwrap();
        let t: Vec<f64> = trajectory.inversion().iter().map(|step| step.t).collect();
        oracle.check(&format!("out.{key}.model_t"), &t);
    }
    for spec in oracle.config["invalid_spacings"].as_array().unwrap() {
        let spacing: SpacingConfig = spec.as_str().unwrap().parse().unwrap();
        assert!(spacing.timesteps(1000).is_err(), "{spec}");
    }
}

#[test]
fn latent_spacings() {
    let (oracle, schedule) = check_schedule(
        "latent_scaled_linear_1000",
        ScheduleConfig::ScaledLinear {
            steps: 1000,
            start: 0.0015,
            end: 0.0195,
        },
    );
    for steps in oracle.config["steps"].as_array().unwrap() {
        let name = format!("uniform{steps}");
        let spacing: SpacingConfig = name.parse().unwrap();
        let trajectory = Trajectory::new(&schedule, &spacing).unwrap();
        let (up, down) = (trajectory.inversion(), trajectory.synthesis());
        let t: Vec<i64> = down.iter().map(|step| step.t as i64).collect();
        assert_eq!(t, oracle.ints(&format!("out.{name}.timesteps")), "{name}");
        let from =
            |moves: &[diffguard_guidance::Move]| moves.iter().map(|m| m.from).collect::<Vec<_>>();
        let to =
            |moves: &[diffguard_guidance::Move]| moves.iter().map(|m| m.to).collect::<Vec<_>>();
        oracle.check(&format!("out.{name}.sampler.alphas"), &from(down));
        oracle.check(&format!("out.{name}.sampler.alphas_prev"), &to(down));
        oracle.check(&format!("out.{name}.forward.alphas"), &from(up));
        oracle.check(&format!("out.{name}.forward.alphas_next"), &to(up));
    }
}

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
