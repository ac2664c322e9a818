//! Two long values beside each other, so that the part that differs is seen at once.

/// The longest value that is shown in one line, in characters.
const LINE_MAX: usize = 60;
/// The widest first column.
const COLUMN_MAX: usize = 56;
/// More parts than these are not put beside each other.
const PARTS_MAX: usize = 200;

/// Lines that show both values part by part; none when one line each is enough. `!` marks parts that differ, `-` those
/// that are missing, `+` those that are too many.
pub(super) fn beside(expected: &[String], actual: &[String]) -> Option<Vec<String>> {
    let length = |parts: &[String]| parts.iter().map(|part| part.chars().count() + 1).sum::<usize>();
    let is_short = length(expected).max(length(actual)) <= LINE_MAX;
    if is_short || expected.len().max(actual.len()) < 2 || expected.len().max(actual.len()) > PARTS_MAX {
        return None;
    }
    let rows = rows(expected, actual);
    let widths = rows.iter().filter_map(|(left, _)| left.map(|part| part.chars().count()));
    let width = widths.max().unwrap_or(0).clamp("expected".len(), COLUMN_MAX);
    let mut lines = vec![format!("    {:<width$}  but got", "expected")];
    for (left, right) in rows {
        let mark = match (left, right) {
            (Some(left), Some(right)) if left == right => ' ',
            (Some(_), Some(_)) => '!',
            (Some(_), None) => '-',
            (None, _) => '+',
        };
        let (left, right) = (left.map_or("", String::as_str), right.map_or("", String::as_str));
        lines.push(format!("  {mark} {left:<width$}  {right}").trim_end().to_owned());
    }
    Some(lines)
}

type Row<'a> = (Option<&'a String>, Option<&'a String>);

/// Pairs what both have in the same order; what is left between two pairs stands beside each other.
fn rows<'a>(expected: &'a [String], actual: &'a [String]) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    let (mut left, mut right) = (0, 0);
    for (i, j) in common(expected, actual) {
        between(&mut rows, expected.get(left..i), actual.get(right..j));
        rows.push((expected.get(i), actual.get(j)));
        (left, right) = (i + 1, j + 1);
    }
    between(&mut rows, expected.get(left..), actual.get(right..));
    rows
}

fn between<'a>(rows: &mut Vec<Row<'a>>, left: Option<&'a [String]>, right: Option<&'a [String]>) {
    let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
    rows.extend((0..left.len().max(right.len())).map(|at| (left.get(at), right.get(at))));
}

/// The longest common subsequence, as pairs of places.
fn common(a: &[String], b: &[String]) -> Vec<(usize, usize)> {
    let width = b.len() + 1;
    let mut lengths = vec![0usize; (a.len() + 1) * width];
    let at = |lengths: &[usize], i: usize, j: usize| lengths.get(i * width + j).copied().unwrap_or(0);
    for (i, x) in a.iter().enumerate().rev() {
        for (j, y) in b.iter().enumerate().rev() {
            let longest = if x == y {
                at(&lengths, i + 1, j + 1) + 1
            } else {
                at(&lengths, i + 1, j).max(at(&lengths, i, j + 1))
            };
            if let Some(cell) = lengths.get_mut(i * width + j) {
                *cell = longest;
            }
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x == y {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if at(&lengths, i + 1, j) >= at(&lengths, i, j + 1) {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_long_command_line_shows_the_word_that_differs() {
        let lines = beside(
            &parts("auto=true hostname=lab-07 url=http://server/preseed.cfg --- quiet splash"),
            &parts("auto=true hostname=lab-08 url=http://server/preseed.cfg locale=de_DE --- quiet"),
        );
        let expect = [
            "    expected                        but got",
            "    auto=true                       auto=true",
            "  ! hostname=lab-07                 hostname=lab-08",
            "    url=http://server/preseed.cfg   url=http://server/preseed.cfg",
            "  +                                 locale=de_DE",
            "    ---                             ---",
            "    quiet                           quiet",
            "  - splash",
        ];
        let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let got: Vec<_> = lines.unwrap().iter().map(|line| squeeze(line)).collect();
        assert_eq!(got, expect.map(squeeze));
    }

    #[test]
    fn short_values_need_one_line() {
        assert_eq!(beside(&parts("a b"), &parts("a c")), None);
    }
}
