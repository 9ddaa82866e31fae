//! A terminal's screen as SVG: backgrounds as rectangles, box drawing as lines, text in runs that keep the grid in any font.

use std::fmt::Write as _;

use vt100::{Cell, Color, Screen};

const CELL_WIDTH: f64 = 8.4;
const CELL_HEIGHT: f64 = 18.0;
const MARGIN: f64 = 12.0;
const BASELINE: f64 = 13.5;
const FONT_SIZE: f64 = 14.0;
const FONTS: &str = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace";
/// The terminal's own colours, where the program names none.
const BACKGROUND: &str = "#10161f";
const FOREGROUND: &str = "#d3d9e3";

/// How a run of cells looks.
#[derive(Clone, PartialEq, Eq)]
struct Look {
    fg: String,
    bg: String,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
}

pub(crate) fn draw(screen: &Screen, title: &str) -> String {
    let (rows, columns) = screen.size();
    let width = f64::from(columns.get()).mul_add(CELL_WIDTH, 2.0 * MARGIN);
    let height = f64::from(rows.get()).mul_add(CELL_HEIGHT, 2.0 * MARGIN);
    let title = escaped(title);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.1} {height:.1}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n\
         <g font-family=\"{FONTS}\" font-size=\"{FONT_SIZE}\" xml:space=\"preserve\">\n"
    );
    for row in 0..rows.get() {
        let cells: Vec<&Cell> = (0..columns.get())
            .filter_map(|column| screen.cell(row, column))
            .collect();
        draw_row(&mut out, row, &cells);
    }
    out.push_str("</g>\n</svg>\n");
    out
}

fn draw_row(out: &mut String, row: u16, cells: &[&Cell]) {
    let top = f64::from(row).mul_add(CELL_HEIGHT, MARGIN);
    for (start, end, look) in runs(cells, |_| true) {
        if look.bg != BACKGROUND {
            rectangle(out, x(start), top, x(end) - x(start), &look.bg);
        }
    }
    for (at, cell) in cells.iter().enumerate() {
        if let Some(arms) = arms(cell.contents()) {
            lines(out, x(at), top, arms, &look(cell).fg);
        }
    }
    // A run of text ends where its look changes and at gaps of two blanks, so that columns stay where they are.
    for (start, end, look) in runs(cells, |cell| arms(cell.contents()).is_none()) {
        for (from, to) in words(&cells[start..end]) {
            let (from, to) = (start + from, start + to);
            let text: String = cells[from..to]
                .iter()
                .filter(|cell| !cell.is_wide_continuation())
                .map(|cell| {
                    if cell.has_contents() {
                        cell.contents()
                    } else {
                        " "
                    }
                })
                .collect();
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{}\"{}>{}</text>",
                x(from),
                top + BASELINE,
                x(to) - x(from),
                look.fg,
                look.style(),
                escaped(&text)
            );
        }
    }
}

fn x(column: usize) -> f64 {
    f64::from(u16::try_from(column).unwrap_or(u16::MAX)).mul_add(CELL_WIDTH, MARGIN)
}

/// Neighbours that look alike, of the cells that are wanted.
fn runs(cells: &[&Cell], wanted: impl Fn(&Cell) -> bool) -> Vec<(usize, usize, Look)> {
    let mut runs: Vec<(usize, usize, Look)> = Vec::new();
    for (at, cell) in cells.iter().enumerate().filter(|(_, cell)| wanted(cell)) {
        let look = look(cell);
        match runs.last_mut() {
            Some((_, end, last)) if *end == at && *last == look => *end = at + 1,
            _ => runs.push((at, at + 1, look)),
        }
    }
    runs
}

/// The parts of a run without the blanks around them; one blank between two words is none.
fn words(cells: &[&Cell]) -> Vec<(usize, usize)> {
    let blank = |cell: &Cell| !cell.is_wide_continuation() && cell.contents().trim().is_empty();
    let mut words: Vec<(usize, usize)> = Vec::new();
    for (at, _) in cells.iter().enumerate().filter(|(_, cell)| !blank(cell)) {
        match words.last_mut() {
            Some((_, end)) if at - *end <= 1 => *end = at + 1,
            _ => words.push((at, at + 1)),
        }
    }
    words
}

fn look(cell: &Cell) -> Look {
    let mut fg = colour(cell.fgcolor(), FOREGROUND);
    let mut bg = colour(cell.bgcolor(), BACKGROUND);
    if cell.inverse() {
        std::mem::swap(&mut fg, &mut bg);
    }
    Look {
        fg,
        bg,
        bold: cell.bold(),
        dim: cell.dim(),
        italic: cell.italic(),
        underline: cell.underline(),
    }
}

impl Look {
    fn style(&self) -> String {
        let mut style = String::new();
        if self.bold {
            style.push_str(" font-weight=\"bold\"");
        }
        if self.dim {
            style.push_str(" opacity=\"0.6\"");
        }
        if self.italic {
            style.push_str(" font-style=\"italic\"");
        }
        if self.underline {
            style.push_str(" text-decoration=\"underline\"");
        }
        style
    }
}

/// xterm's palette.
fn colour(colour: Color, default: &str) -> String {
    const FIRST: [&str; 16] = [
        "#000000", "#cd0000", "#00cd00", "#cdcd00", "#0000ee", "#cd00cd", "#00cdcd", "#e5e5e5",
        "#7f7f7f", "#ff0000", "#00ff00", "#ffff00", "#5c5cff", "#ff00ff", "#00ffff", "#ffffff",
    ];
    match colour {
        Color::Default => default.to_owned(),
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
        Color::Idx(index @ 0..=15) => FIRST[usize::from(index)].to_owned(),
        Color::Idx(index @ 16..=231) => {
            let step = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let index = index - 16;
            let (red, green, blue) = (step(index / 36), step(index / 6 % 6), step(index % 6));
            format!("#{red:02x}{green:02x}{blue:02x}")
        }
        Color::Idx(index) => {
            let grey = 8 + 10 * (index - 232);
            format!("#{grey:02x}{grey:02x}{grey:02x}")
        }
    }
}

fn rectangle(out: &mut String, x: f64, y: f64, width: f64, fill: &str) {
    let _ = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{CELL_HEIGHT:.1}\" fill=\"{fill}\"/>"
    );
}

/// Where a box-drawing character reaches to: left, right, up, down.
fn arms(contents: &str) -> Option<[bool; 4]> {
    let mut characters = contents.chars();
    let (Some(character), None) = (characters.next(), characters.next()) else {
        return None;
    };
    let reach = match character {
        '─' => "lr",
        '│' => "ud",
        '┌' | '╭' => "rd",
        '┐' | '╮' => "ld",
        '└' | '╰' => "ru",
        '┘' | '╯' => "lu",
        '├' => "rud",
        '┤' => "lud",
        '┬' => "lrd",
        '┴' => "lru",
        '┼' => "lrud",
        _ => return None,
    };
    Some(['l', 'r', 'u', 'd'].map(|arm| reach.contains(arm)))
}

fn lines(out: &mut String, x: f64, y: f64, [left, right, up, down]: [bool; 4], stroke: &str) {
    let (middle_x, middle_y) = (x + CELL_WIDTH / 2.0, y + CELL_HEIGHT / 2.0);
    let mut line = |reaches: bool, to_x: f64, to_y: f64| {
        if reaches {
            let _ = writeln!(
                out,
                "<path d=\"M{middle_x:.1} {middle_y:.1}L{to_x:.1} {to_y:.1}\" stroke=\"{stroke}\"/>"
            );
        }
    };
    line(left, x, middle_y);
    line(right, x + CELL_WIDTH, middle_y);
    line(up, middle_x, y);
    line(down, middle_x, y + CELL_HEIGHT);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
