//! Text fitted to a number of cells: hostile characters shown, graphemes never cut.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::domain::text::visible;

/// Fewer cells than this show neither end of a text.
const LEAST_MIDDLE: usize = 5;

/// Cells that a text takes on screen once made safe.
pub fn width(text: &str) -> usize {
    visible(text).width()
}

/// The text made safe and cut to at most `cells`, the cut shown as `…`.
pub fn fit(text: &str, cells: usize) -> String {
    let safe = visible(text);
    if safe.width() <= cells {
        return safe.into_owned();
    }
    if cells == 0 {
        return String::new();
    }
    let mut out = String::new();
    let mut used = 0;
    for grapheme in safe.graphemes(true) {
        let w = grapheme.width();
        if used + w > cells - 1 {
            break;
        }
        out.push_str(grapheme);
        used += w;
    }
    out.push('…');
    out
}

/// Like [`fit`], cut in the middle: names of one family differ at their ends (`db-prim…/dev/sdf`).
pub fn fit_middle(text: &str, cells: usize) -> String {
    let safe = visible(text);
    if safe.width() <= cells || cells < LEAST_MIDDLE {
        return fit(text, cells);
    }
    // The end of an id that stands beside a name, and what follows it: `web …c3333:xvda`. Never the id is cut.
    if let Some((name, end)) = safe.rsplit_once(" …") {
        let end = format!("…{end}");
        return match cells.checked_sub(end.width()) {
            Some(room) => {
                let mut out: String = fit(&format!("{name}x"), room + 1);
                out.pop();
                out.push_str(&end);
                out
            }
            None => fit(&end, cells),
        };
    }
    let tail_room = cells / 2;
    let mut tail: Vec<&str> = Vec::new();
    let mut used = 0;
    for grapheme in safe.graphemes(true).rev() {
        let w = grapheme.width();
        if used + w > tail_room {
            break;
        }
        tail.push(grapheme);
        used += w;
    }
    tail.reverse();
    // The cut is a cell of the head's.
    let mut out = fit(&safe, cells - used);
    out.push_str(&tail.concat());
    out
}

/// Like [`fit`], filled with blanks to exactly `cells`; `right` puts the text at the right edge.
pub fn pad(text: &str, cells: usize, right: bool) -> String {
    padded(fit(text, cells), cells, right)
}

/// Like [`fit_middle`], filled with blanks at the right to exactly `cells`.
pub fn pad_middle(text: &str, cells: usize) -> String {
    padded(fit_middle(text, cells), cells, false)
}

fn padded(mut out: String, cells: usize, right: bool) -> String {
    let blanks = " ".repeat(cells.saturating_sub(out.width()));
    if right {
        out.insert_str(0, &blanks);
    } else {
        out.push_str(&blanks);
    }
    out
}

/// Breaks a text (made safe) into lines of at most `cells`, between words where possible.
pub fn wrap(text: &str, cells: usize) -> Vec<String> {
    let cells = cells.max(1);
    let safe = visible(text);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    // Ids, flags and names are never broken at their punctuation: only blanks part words.
    for word in safe.split_inclusive(' ') {
        let w = word.trim_end().width();
        if used + w > cells && used > 0 {
            lines.push(line.trim_end().to_owned());
            line.clear();
            used = 0;
        }
        if w > cells {
            for grapheme in word.graphemes(true) {
                let g = grapheme.width();
                if used + g > cells && used > 0 {
                    lines.push(std::mem::take(&mut line));
                    used = 0;
                }
                line.push_str(grapheme);
                used += g;
            }
            continue;
        }
        line.push_str(word);
        used += word.width();
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line.trim_end().to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_id_beside_a_name_is_never_cut() {
        for (text, cells, shown) in [
            ("web …0aaaa:xvda", 14, "we…0aaaa:xvda"),
            ("web …0aaaa:xvda", 15, "web …0aaaa:xvda"),
            ("web …0aaaa (busy)", 14, "w…0aaaa (busy)"),
            ("web-frontend …0aaaa", 10, "web-…0aaaa"),
            ("web …0aaaa:nvme1n1", 9, "…0aaaa:n…"),
        ] {
            let is = fit_middle(text, cells);
            assert!(
                is.contains("…0aaaa") && is.width() <= cells,
                "{text} {cells}: {is}"
            );
            assert_eq!(is.chars().next(), shown.chars().next(), "{is}");
        }
    }

    #[test]
    fn cuts_by_cells_and_graphemes() {
        assert_eq!(fit("web-1", 5), "web-1");
        assert_eq!(fit("web-12", 5), "web-…");
        assert_eq!(fit("数据库主机", 5), "数据…");
        assert_eq!(fit("数据库主机", 4), "数…");
        assert_eq!(fit("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
        assert_eq!(fit("a\u{1b}[2Jb", 20), "a\\u{1b}[2Jb");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(pad("数", 4, false), "数  ");
        assert_eq!(pad("7", 3, true), "  7");
        for cells in 0..12 {
            assert!(width(&fit("x数\u{202e}据y", cells)) <= cells);
            assert!(width(&fit_middle("x数\u{202e}据库主机y", cells)) <= cells);
        }
    }

    #[test]
    fn names_of_one_family_are_told_apart_by_their_ends() {
        assert_eq!(fit_middle("web-1", 5), "web-1");
        assert_eq!(fit_middle("db-primary:/dev/sdf", 16), "db-prim…/dev/sdf");
        assert_eq!(fit_middle("db-primary:/dev/sdg", 16), "db-prim…/dev/sdg");
        assert_eq!(fit_middle("数据库主机一", 8), "数…机一");
        assert_eq!(fit_middle("abcdef", 4), "abc…");
        assert_eq!(pad_middle("ab", 4), "ab  ");
    }

    #[test]
    fn wraps_between_words_and_inside_long_ones() {
        assert_eq!(wrap("agent is offline", 9), ["agent is", "offline"]);
        assert_eq!(wrap("0123456789", 4), ["0123", "4567", "89"]);
        assert_eq!(
            wrap("use --region ec2:Describe", 13),
            ["use --region", "ec2:Describe"]
        );
        assert_eq!(wrap("数据库主机 a", 4), ["数据", "库主", "机 a"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("a\nb", 80), ["a\\nb"]);
    }
}
