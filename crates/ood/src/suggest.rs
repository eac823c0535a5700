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
        .map(|candidate| (edit_distance(&name, &folded(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (name.len().max(candidate.len()) / 3).max(2))
        .filter(|(distance, candidate)| *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn folded(name: &str) -> Vec<char> {
    name.chars()
        .map(|c| {
            if c == '-' {
                '_'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

/// Levenshtein's distance by one row of the table.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distances_of_known_words() {
        let distance = |a: &str, b: &str| edit_distance(&folded(a), &folded(b));
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("deep-ensemble", "Deep_Ensemble"), 0);
    }
}
