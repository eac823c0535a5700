//! Sweeps: `[[vary]]` axes over the guards and inversions of an experiment, expanded to named cells.
//!
//! ```toml
//! [[vary]]                                        # one axis: a list of values
//! "guard.free.guidance.dsg_cut" = [0.0, 0.2, 0.4]
//!
//! [[vary]]                                        # a second one: the grid of both
//! "inversion.lower.spacing" = ["ddim10", "ddim25"]
//!
//! [[vary]]                                        # keys of one table change together; `name` labels the points
//! name = ["plain", "clean-grad"]
//! "guard.cg.guidance.x0hat"  = [false, true]
//! "guard.cg.guidance.cutout" = [false, true]
//! ```
//!
//! A guard that an axis touches, itself or through its inversion, becomes one guard a cell, called
//! `free[dsg_cut=0.2, spacing=ddim10]`. Cells are guards of one experiment, so what two of them share is computed once.

use std::collections::BTreeSet;

use diffguard_ood::suggest;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// One guard of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The guard as the tables call it.
    pub guard: String,
    /// The guard that was varied.
    pub base: String,
    /// Axis and label of the point, in the axes' order.
    pub point: Vec<(String, String)>,
}

impl Cell {
    /// Its point on an axis.
    pub fn at(&self, axis: &str) -> Option<&str> {
        let mut point = self.point.iter();
        point.find_map(|(name, label)| (name == axis).then_some(label.as_str()))
    }
}

/// What an axis changes.
#[derive(Clone, Debug, PartialEq)]
enum Target {
    Guard(String),
    Inversion(String),
}

/// One key and its values.
#[derive(Clone, Debug)]
struct Varied {
    target: Target,
    path: Vec<String>,
    values: Vec<Value>,
}

/// Keys that change together.
#[derive(Clone, Debug)]
struct Axis {
    name: String,
    labels: Vec<String>,
    varied: Vec<Varied>,
}

/// Replaces the `[[vary]]` tables of an experiment by the guards and inversions that they stand for, and adds the
/// cells.
///
/// # Errors
/// Says which axis asks for what does not exist, or has values that don't go together.
pub fn expand(experiment: &mut Table) -> Result<(), String> {
    if experiment.contains_key("cells") {
        return Err("`cells` is what a run writes; say [[vary]]".into());
    }
    let Some(vary) = experiment.remove("vary") else {
        return Ok(());
    };
    let Value::Array(vary) = vary else {
        return Err("`vary` must be an array of tables: [[vary]]".into());
    };
    let guards: Vec<Table> = tables(experiment, "guard")?;
    let inversions: Table = match experiment.get("inversion") {
        Some(Value::Table(table)) => table.clone(),
        _ => Table::new(),
    };
    let axes = vary
        .iter()
        .map(|axis| axis_of(axis, &guards, &inversions))
        .collect::<Result<Vec<_>, _>>()?;
    check_apart(&axes)?;

    let mut cells = Vec::new();
    let mut expanded = Vec::new();
    let mut kept = Table::new();
    for guard in &guards {
        let (name, inversion) = (text(guard, "name"), text(guard, "inversion"));
        let touching: Vec<&Axis> = axes
            .iter()
            .filter(|axis| {
                axis.touches(&Target::Guard(name.clone()))
                    || axis.touches(&Target::Inversion(inversion.clone()))
            })
            .collect();
        let mut names = BTreeSet::new();
        if let Some(twice) = touching.iter().find(|axis| !names.insert(&axis.name)) {
            return Err(format!(
                "two [[vary]] of the guard `{name}` are called `{}`, by the last word of their first key",
                twice.name
            ));
        }
        for point in grid(&touching) {
            let mut guard = guard.clone();
            let mut own = Vec::new();
            let mut settings = inversions.get(&inversion).cloned();
            for (axis, index) in touching.iter().zip(&point) {
                for varied in &axis.varied {
                    let value = varied.values[*index].clone();
                    match &varied.target {
                        Target::Guard(target) if *target == name => {
                            set(&mut guard, &varied.path, value)?;
                        }
                        Target::Inversion(target) if *target == inversion => {
                            if let Some(Value::Table(table)) = &mut settings {
                                set(table, &varied.path, value)?;
                            }
                        }
                        _ => {}
                    }
                }
                if axis.touches(&Target::Inversion(inversion.clone())) {
                    own.push(axis.label(*index));
                }
            }
            let labels: Vec<String> = touching
                .iter()
                .zip(&point)
                .map(|(axis, index)| axis.label(*index))
                .collect();
            let (inversion_name, guard_name) =
                (bracketed(&inversion, &own), bracketed(&name, &labels));
            if let Some(settings) = settings {
                kept.insert(inversion_name.clone(), settings);
            }
            guard.insert("inversion".into(), Value::String(inversion_name));
            guard.insert("name".into(), Value::String(guard_name.clone()));
            if !touching.is_empty() {
                cells.push(Cell {
                    guard: guard_name,
                    base: name.clone(),
                    point: touching
                        .iter()
                        .zip(&point)
                        .map(|(axis, index)| (axis.name.clone(), axis.labels[*index].clone()))
                        .collect(),
                });
            }
            expanded.push(Value::Table(guard));
        }
    }
    elect_cells(experiment, &cells);
    experiment.insert("guard".into(), Value::Array(expanded));
    experiment.insert("inversion".into(), Value::Table(kept));
    let cells = Value::try_from(cells).map_err(|error| error.to_string())?;
    experiment.insert("cells".into(), cells);
    Ok(())
}

impl Axis {
    fn touches(&self, target: &Target) -> bool {
        self.varied.iter().any(|varied| varied.target == *target)
    }

    fn label(&self, index: usize) -> String {
        format!("{}={}", self.name, self.labels[index])
    }
}

fn axis_of(axis: &Value, guards: &[Table], inversions: &Table) -> Result<Axis, String> {
    let Value::Table(axis) = axis else {
        return Err("`vary` must be an array of tables: [[vary]]".into());
    };
    let mut names = None;
    let mut varied = Vec::new();
    for (key, values) in axis {
        let Value::Array(values) = values else {
            return Err(format!("[[vary]] `{key}`: needs a list of values"));
        };
        if values.is_empty() {
            return Err(format!("[[vary]] `{key}`: the list is empty"));
        }
        if key == "name" {
            names = Some(values.iter().map(label).collect::<Vec<_>>());
            continue;
        }
        let mut path = key.split('.').map(str::to_owned);
        let (kind, name) = (
            path.next().unwrap_or_default(),
            path.next().unwrap_or_default(),
        );
        let known: Vec<String> = match kind.as_str() {
            "guard" => guards.iter().map(|guard| text(guard, "name")).collect(),
            "inversion" => inversions.keys().cloned().collect(),
            _ => {
                return Err(format!(
                    "[[vary]] `{key}`: begins with `{kind}`; there are: guard.NAME.…, inversion.NAME.…"
                ));
            }
        };
        if !known.contains(&name) {
            let hint = match suggest(&name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", known.join(", ")),
            };
            return Err(format!("[[vary]] `{key}`: no {kind} `{name}`; {hint}"));
        }
        let path: Vec<String> = path.collect();
        if path.is_empty() || (path.len() == 1 && (path[0] == "name" || path[0] == "inversion")) {
            return Err(format!("[[vary]] `{key}`: names no setting that can vary"));
        }
        let target = match kind.as_str() {
            "guard" => Target::Guard(name),
            _ => Target::Inversion(name),
        };
        varied.push(Varied {
            target,
            path,
            values: values.clone(),
        });
    }
    let Some(first) = varied.first() else {
        return Err("[[vary]] has no key to vary".into());
    };
    let points = first.values.len();
    let odd = varied.iter().find(|other| other.values.len() != points);
    if odd.is_some() || names.as_ref().is_some_and(|names| names.len() != points) {
        return Err(format!(
            "[[vary]] `{}`: keys of one table change together and need equally many values",
            first.path.join(".")
        ));
    }
    let name = first.path.last().cloned().unwrap_or_default();
    let labels = names.unwrap_or_else(|| first.values.iter().map(label).collect());
    if let Some(double) = (0..points).find(|i| labels[..*i].contains(&labels[*i])) {
        return Err(format!(
            "[[vary]] `{name}`: two points are called `{}`",
            labels[double]
        ));
    }
    Ok(Axis {
        name,
        labels,
        varied,
    })
}

/// Refuses two axes that vary one setting: the later one would have its way.
fn check_apart(axes: &[Axis]) -> Result<(), String> {
    for (i, axis) in axes.iter().enumerate() {
        for other in &axes[..i] {
            let mut varied = axis.varied.iter();
            let same = varied.find(|a| {
                let mut others = other.varied.iter();
                others.any(|b| a.target == b.target && a.path == b.path)
            });
            if let Some(same) = same {
                let path = same.path.join(".");
                return Err(format!(
                    "two [[vary]] change `{path}`; give one of them all values"
                ));
            }
        }
    }
    Ok(())
}

/// `[headline] guards` may name the base of a sweep: all of its cells stand for election then.
fn elect_cells(experiment: &mut Table, cells: &[Cell]) {
    let Some(Value::Table(headline)) = experiment.get_mut("headline") else {
        return;
    };
    let Some(Value::Array(guards)) = headline.get_mut("guards") else {
        return;
    };
    *guards = guards
        .iter()
        .flat_map(|name| {
            let of_base: Vec<Value> = cells
                .iter()
                .filter(|cell| name.as_str() == Some(&cell.base))
                .map(|cell| Value::String(cell.guard.clone()))
                .collect();
            match of_base.is_empty() {
                true => vec![name.clone()],
                false => of_base,
            }
        })
        .collect();
}

/// All combinations of the axes' points, the last axis fastest.
fn grid(axes: &[&Axis]) -> Vec<Vec<usize>> {
    axes.iter().fold(vec![Vec::new()], |points, axis| {
        points
            .iter()
            .flat_map(|point| {
                (0..axis.labels.len()).map(move |index| {
                    let mut longer = point.clone();
                    longer.push(index);
                    longer
                })
            })
            .collect()
    })
}

fn bracketed(name: &str, labels: &[String]) -> String {
    match labels.is_empty() {
        true => name.to_owned(),
        false => format!("{name}[{}]", labels.join(", ")),
    }
}

fn set(table: &mut Table, path: &[String], value: Value) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    if rest.is_empty() {
        table.insert(first.clone(), value);
        return Ok(());
    }
    let inner = table
        .entry(first.clone())
        .or_insert_with(|| Value::Table(Table::new()));
    match inner {
        Value::Table(inner) => set(inner, rest, value),
        _ => Err(format!(
            "[[vary]]: `{first}` is no table, so it has no `{}`",
            rest.join(".")
        )),
    }
}

fn label(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn text(table: &Table, key: &str) -> String {
    table
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn tables(experiment: &Table, key: &str) -> Result<Vec<Table>, String> {
    let Some(Value::Array(values)) = experiment.get(key) else {
        return Err("[[vary]] needs a [[guard]] to vary".into());
    };
    Ok(values.iter().filter_map(Value::as_table).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = r#"
        [inversion.lower]
        spacing = "ddim25"
        [[guard]]
        name = "free"
        inversion = "lower"
        guidance = { kind = "classifier-free", scale = 3.0 }
        [[guard]]
        name = "plain"
        inversion = "lower"
        [headline]
        guards = ["free"]
    "#;

    fn expanded(vary: &str) -> Result<Table, String> {
        let mut table: Table = toml::from_str(&format!("{BASE}\n{vary}")).unwrap();
        expand(&mut table).map(|()| table)
    }

    fn names(table: &Table) -> Vec<String> {
        tables(table, "guard")
            .unwrap()
            .iter()
            .map(|guard| text(guard, "name"))
            .collect()
    }

    #[test]
    fn two_axes_are_a_grid_of_named_guards() {
        let table = expanded(
            "[[vary]]\n'guard.free.guidance.dsg_cut' = [0.0, 0.2]\n[[vary]]\n'guard.free.guidance.scale' = [1, 3, 5]",
        )
        .unwrap();
        let names = names(&table);
        assert_eq!(names.len(), 7);
        assert_eq!(names[1], "free[dsg_cut=0.0, scale=3]");
        assert_eq!(names[6], "plain");
        let guards = tables(&table, "guard").unwrap();
        assert_eq!(guards[4]["guidance"]["dsg_cut"].as_float(), Some(0.2));
        assert_eq!(guards[4]["guidance"]["scale"].as_integer(), Some(3));
        assert_eq!(
            guards[4]["guidance"]["kind"].as_str(),
            Some("classifier-free")
        );
        assert_eq!(table["headline"]["guards"].as_array().unwrap().len(), 6);
        assert_eq!(table["inversion"].as_table().unwrap().len(), 1);
    }

    #[test]
    fn one_setting_has_one_axis_and_one_name() {
        let refused = |vary: &str| expanded(vary).unwrap_err();
        let twice = "[[vary]]\n'guard.free.guidance.scale' = [1, 2]\n[[vary]]\n'guard.free.guidance.scale' = [3, 5]";
        assert!(refused(twice).contains("two [[vary]] change `guidance.scale`"));
        let named = "[[vary]]\n'guard.free.synthesis.solver' = ['a', 'b']\n[[vary]]\n'inversion.lower.solver' = ['a', 'b']";
        assert!(refused(named).contains("of the guard `free` are called `solver`"));
        // Of two guards they are two settings.
        let two = "[[vary]]\n'guard.free.guidance.scale' = [1, 2]\n[[vary]]\n'guard.plain.guidance.scale' = [1, 2]";
        assert_eq!(names(&expanded(two).unwrap()).len(), 4);
    }

    #[test]
    fn an_inversion_that_varies_takes_every_guard_on_it_along() {
        let table = expanded("[[vary]]\n'inversion.lower.spacing' = ['ddim5', 'ddim10']").unwrap();
        assert_eq!(
            names(&table),
            [
                "free[spacing=ddim5]",
                "free[spacing=ddim10]",
                "plain[spacing=ddim5]",
                "plain[spacing=ddim10]"
            ]
        );
        let inversions = table["inversion"].as_table().unwrap();
        assert_eq!(
            inversions["lower[spacing=ddim5]"]["spacing"].as_str(),
            Some("ddim5")
        );
        assert_eq!(inversions.len(), 2);
    }

    #[test]
    fn keys_of_one_table_change_together_under_given_names() {
        let table = expanded(
            "[[vary]]\nname = ['weak', 'strong']\n'guard.free.guidance.scale' = [1, 9]\n'guard.free.guidance.dsg_cut' = [0.1, 0.5]",
        )
        .unwrap();
        assert_eq!(names(&table)[..2].len(), 2);
        let guards = tables(&table, "guard").unwrap();
        assert!(text(&guards[1], "name").ends_with("=strong]"));
        assert_eq!(guards[1]["guidance"]["scale"].as_integer(), Some(9));
        assert_eq!(guards[1]["guidance"]["dsg_cut"].as_float(), Some(0.5));
    }

    #[test]
    fn what_does_not_exist_is_refused_with_the_nearest_name() {
        let fault = |vary: &str| expanded(vary).unwrap_err();
        assert!(fault("[[vary]]\n'guard.fre.label' = ['oracle']").contains("did you mean `free`?"));
        assert!(fault("[[vary]]\n'detector.knn.k' = [1]").contains("guard.NAME"));
        assert!(fault("[[vary]]\n'guard.free.label' = []").contains("empty"));
        assert!(fault("[[vary]]\n'guard.free.label' = 'oracle'").contains("list"));
        assert!(fault("[[vary]]\n'guard.free.name' = ['a']").contains("can vary"));
        assert!(
            fault(
                "[[vary]]\n'guard.free.label' = ['oracle']\n'guard.free.guidance.scale' = [1, 2]"
            )
            .contains("equally many")
        );
        assert!(fault("[[vary]]\n'guard.free.guidance.scale' = [1, 1]").contains("two points"));
    }
}
