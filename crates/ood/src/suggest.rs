//! "Did you mean": the nearest valid name to a misspelt one.

/// The candidate nearest to `name` by edit distance, ignoring case and the difference of `-` and `_`;
/// `None` when nothing is near (further than a third of the longer name, but at least two edits).
///
/// ```
/// assert_eq!(diffguard_ood::suggest("enery", ["msp", "energy"]), Some("energy"));
/// assert_eq!(diffguard_ood::suggest("zzzzzz", ["msp", "energy"]), None);
/// ```
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = folded(name);
    candidates
        .into_iter()
        .map(|candidate| (strsim::levenshtein(&name, &folded(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (name.len().max(candidate.len()) / 3).max(2))
        .filter(|(distance, candidate)| *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_dashes_are_no_edits() {
        assert_eq!(
            suggest("Deep-Ensemble", ["msp", "deep_ensemble"]),
            Some("deep_ensemble")
        );
        assert_eq!(suggest("VIN", ["knn", "vim"]), Some("vim"));
    }
}
