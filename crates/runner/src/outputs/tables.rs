//! The tables of a run, from its scores alone.

use diffguard_report::table::{MethodGroup, Table};
use diffguard_report::{Metric, MetricRow};

use super::{Run, cascade_cost, cost, paper};
use crate::bench::FAST_WITHIN;
use crate::cascade_sensitivity::CascadeReport;
use crate::experiment::{Combination, Denoising, Experiment, FAST, HEADLINE};
use crate::parts::Split;
use crate::synthetic::WARNING;
use crate::{Result, evaluate};

/// For every cascade of two rows, its oracle.
pub(super) fn envelopes(run: &Run) -> Vec<(String, [String; 2])> {
    run.record
        .configuration
        .combinations
        .iter()
        .filter(|combination| combination.rule == "cascade" && combination.of.len() == 2)
        .map(|combination| {
            (
                format!("{}-envelope", combination.name),
                [combination.of[0].clone(), combination.of[1].clone()],
            )
        })
        .collect()
}

/// Baselines, the headline and the best setting of each guard (on validation), denoising, fusions, oracles.
pub(crate) fn main_groups(run: &Run) -> Vec<MethodGroup> {
    let experiment = &run.record.configuration;
    let mut baselines: Vec<(String, Vec<String>)> = Vec::new();
    for baseline in &run.record.baselines {
        let heading = match experiment.each_classifier {
            true if baseline.row.contains('@') => format!("Baselines on {}", baseline.classifier),
            true => "All classifiers together".to_owned(),
            false => "Baselines".to_owned(),
        };
        match baselines.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, rows)) => rows.push(baseline.row.clone()),
            None => baselines.push((heading, vec![baseline.row.clone()])),
        }
    }
    let mut guards = Vec::new();
    if run.record.headline.is_some() {
        guards.push(HEADLINE.to_owned());
    }
    let fast = run.record.headline.as_ref().and_then(|it| it.fast.as_ref());
    guards.extend(fast.map(|_| FAST.to_owned()));
    guards.extend(
        experiment
            .guards
            .iter()
            .filter_map(|guard| best_column(run, &guard.name)),
    );
    guards.extend(experiment.aliases.iter().map(|alias| alias.name.clone()));
    let fusions = experiment
        .combinations
        .iter()
        .map(|combination| combination.name.clone());
    let mut oracles: Vec<String> = run
        .scores
        .methods()
        .filter(|name| name.ends_with("-oracle"))
        .map(str::to_owned)
        .collect();
    oracles.extend(envelopes(run).into_iter().map(|(name, _)| name));
    let baselines = baselines
        .into_iter()
        .map(|(heading, rows)| MethodGroup::new(heading, rows));
    let others = [
        MethodGroup::new(
            "DiffGuard (each guidance with the similarity that validation chose)",
            guards,
        ),
        MethodGroup::new(
            "Denoising under labels (without a synthesis)",
            experiment
                .denoisings
                .iter()
                .flat_map(Denoising::columns)
                .map(|(column, _)| column)
                .collect::<Vec<_>>(),
        ),
        MethodGroup::new(
            "Fusions (fitted on validation data)",
            fusions.collect::<Vec<_>>(),
        ),
        MethodGroup::new("Oracles (they look at test labels)", oracles),
    ];
    baselines
        .chain(others)
        .filter(|group| !group.methods.is_empty())
        .collect()
}

/// The similarity that is best for a guard on validation data; the first one where there is no validation set.
pub(super) fn best_column(run: &Run, guard: &str) -> Option<String> {
    best_on_validation(run, columns_of(run, guard))
}

/// The column of these with the highest mean AUROC on the validation sets; the first of equals, and where there is no such set.
pub(super) fn best_on_validation(
    run: &Run,
    columns: impl IntoIterator<Item = String>,
) -> Option<String> {
    let mut columns = columns.into_iter();
    if run.scores.sets(Split::OodVal).is_empty() {
        return columns.find(|name| run.scores.column(name).is_some());
    }
    let rated = columns.filter_map(|name| {
        let values = run.scores.column(&name)?;
        let auroc = evaluate::validation_auroc(&name, values, &run.scores).ok()?;
        Some((auroc, name))
    });
    rated
        .reduce(|best, other| if other.0 > best.0 { other } else { best })
        .map(|(_, name)| name)
}

fn columns_of(run: &Run, guard: &str) -> Vec<String> {
    let prefix = format!("diffguard-{guard}/");
    run.scores
        .methods()
        .filter(|name| name.starts_with(&prefix))
        .map(str::to_owned)
        .collect()
}

pub(super) fn markdown(
    run: &Run,
    main: Option<&Table>,
    rows: &[MetricRow],
    cascades: &[CascadeReport],
) -> Result<String> {
    let experiment = &run.record.configuration;
    let mut text = format!("# {}\n\n", experiment.title);
    if let Some(reduced) = &run.record.synthetic {
        text += &format!("**{WARNING}** Reduced:\n\n- {}\n\n", reduced.join("\n- "));
    }
    let samples = run.scores.samples.iter();
    let images = samples.filter(|s| s.split == Split::IdTest).count();
    let accuracy = 100.0 * run.record.classifier_accuracy;
    text += &match main {
        Some(_) => format!(
            "{images} in-distribution test images; AUROC / FPR@95 in percent (in-distribution is the positive class). \
             The classifier's accuracy on them is {accuracy:.2} %. `metrics.csv` has all metrics with 95 % intervals.\n\n"
        ),
        None => format!(
            "{images} in-distribution test images. The classifier's accuracy on them is {accuracy:.2} %.\n"
        ),
    };
    if !run.record.benchmark.left_out.is_empty() {
        text += "**Not at hand, and therefore not in the table:**\n\n";
        for set in &run.record.benchmark.left_out {
            text += &format!(
                "- {} ({}): {}; `{}`\n",
                set.name, set.role, set.reason, set.command
            );
        }
        text.push('\n');
    }
    let extras = &run.record.benchmark.extras;
    if !extras.is_empty() {
        text += &format!(
            "Not part of the published benchmark, shown beside it: {}.\n\n",
            extras.join(", ")
        );
    }
    text += &main.map(below_its_heading).unwrap_or_default();
    for alias in &experiment.aliases {
        text += &format!("\n`{}` is `{}`", alias.name, alias.of);
        text += &alias
            .note
            .as_ref()
            .map_or(".\n".to_owned(), |note| format!(": {note}.\n"));
    }
    if let Some(chosen) = &run.record.headline {
        text += &format!(
            "\n`diffguard` is `{}`: of {} candidates it has the highest mean AUROC on the validation sets ({:.3}).\n",
            chosen.elected(),
            chosen.candidates.len(),
            chosen.validation_auroc
        );
    }
    if let Some(fast) = run.record.headline.as_ref().and_then(|it| it.fast.as_ref()) {
        text += &format!(
            "\n`diffguard-fast` is `{fast}`: of the candidates whose validation AUROC is within {} of that, the cheapest.\n",
            FAST_WITHIN
        );
    }
    text += &noised(experiment);
    text += &denoisings(&experiment.denoisings);
    text += &fusions(&experiment.combinations);
    if !run.record.costs.is_empty() {
        text += "\n## Cost\n\n";
        text += &cost::sheet(run, rows).to_markdown();
        if let Some(sheet) = cascade_cost::sheet(run, rows, cascades) {
            text += "\n### In cascade mode\n\n";
            text += &sheet.to_markdown();
        }
    }
    if let Some(paper) = &experiment.paper {
        text += "\n## Published and ours\n\n";
        text += &paper::markdown(run, paper, rows)?;
    }
    let groups: Vec<MethodGroup> = experiment
        .guards
        .iter()
        .map(|guard| MethodGroup::new(guard.name.clone(), columns_of(run, &guard.name)))
        .collect();
    if !groups.is_empty() {
        text += "\n## Every guidance and similarity\n\n";
        let all = Table::new(
            "Every guidance and similarity",
            rows,
            &groups,
            &[Metric::Auroc, Metric::Fpr95],
        )?;
        text += &below_its_heading(&all);
    }
    Ok(text)
}

fn below_its_heading(table: &Table) -> String {
    let mut sheet = table.sheet();
    sheet.title.clear();
    sheet.to_markdown()
}

/// Which guards' syntheses start from noised images; a line for those that do alike.
fn noised(experiment: &Experiment) -> String {
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for guard in &experiment.guards {
        let Some(config) = experiment.inversion.get(&guard.inversion) else {
            continue;
        };
        let times = match config.draws {
            None => continue,
            Some(1) => "once".to_owned(),
            Some(2) => "twice".to_owned(),
            Some(draws) => format!("{draws} times"),
        };
        let mean = match config.starts() {
            1 => "",
            _ => "; means of the similarities",
        };
        let share = match config.fraction {
            1.0 => String::new(),
            fraction => format!("{fraction} of "),
        };
        let what = format!(
            "the image is noised {times} in place of inverted, to where {share}{} ends{mean}",
            config.spacing
        );
        let name = format!("`diffguard-{}`", guard.name);
        match lines.iter_mut().find(|(known, _)| *known == what) {
            Some((_, names)) => names.push(name),
            None => lines.push((what, vec![name])),
        }
    }
    let lines = lines.into_iter();
    lines
        .map(|(what, names)| format!("\n{}: {what}.\n", names.join(", ")))
        .collect()
}

/// What each row of denoising is.
fn denoisings(denoisings: &[Denoising]) -> String {
    let lines = denoisings.iter().map(|denoising| {
        let noise = &denoising.noise;
        let others = match noise.others {
            None => "every other label".to_owned(),
            Some(1) => "another label".to_owned(),
            Some(others) => format!("{others} other labels"),
        };
        let levels = denoising.levels.map_or_else(String::new, |levels| {
            format!(
                " `/level-1` to `/level-{levels}` in fusions: the log of the mean error, from the least noise to the most."
            )
        });
        format!(
            "\n`{}`: the image is noised in {} rounds, as at training steps from {} to {}; how much larger the error of predicting \
             the noise is under {others} than under the predicted one. `@n`: after n rounds.{levels}\n",
            denoising.column(),
            noise.rounds,
            noise.from,
            noise.to
        )
    });
    lines.collect()
}

/// What each fusion is made of, and by which rule.
fn fusions(combinations: &[Combination]) -> String {
    if combinations.is_empty() {
        return String::new();
    }
    let line = |fusion: &Combination| {
        let members: Vec<String> = fusion
            .of
            .iter()
            .map(|row| match fusion.log_odds.contains(row) {
                true => format!("`{row}` (log-odds)"),
                false => format!("`{row}`"),
            })
            .collect();
        let parameters: String = fusion
            .parameters
            .iter()
            .map(|(name, value)| format!(", {name} = {value}"))
            .collect();
        let (name, rule) = (&fusion.name, &fusion.rule);
        format!("- `{name}`: {rule} of {}{parameters}\n", members.join(", "))
    };
    let lines: String = combinations.iter().map(line).collect();
    format!("\nFusions, their rules fitted on validation data:\n\n{lines}")
}
