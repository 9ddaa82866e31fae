//! Names of regions: the nearest to a mistyped one, and what only looks like one. A well-formed name that is not in
//! the list is taken as it is, because AWS opens regions.

use crate::domain::ids::Region;
use crate::domain::problem::{Kind, Problem};

/// Regions of all partitions as of November 2026.
pub const KNOWN: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// A region from what a person wrote; `said` is the flag, the variable or the line.
///
/// # Errors
/// An availability zone, a name that is one letter off, or no name of a region at all.
pub fn region(text: &str, said: &str) -> Result<Region, Problem> {
    let wrong = |cause: String, hint: String| {
        Problem::new(
            Kind::Usage,
            format!("choose a region ({said})"),
            cause,
            hint,
        )
    };
    if KNOWN.contains(&text) {
        return Ok(Region::from_api(text));
    }
    let zone = text.strip_suffix(|c: char| c.is_ascii_lowercase());
    if let Some(region) = zone.filter(|region| is_region(region)) {
        return Err(wrong(
            format!("`{text}` is an availability zone"),
            format!("the region is {region}"),
        ));
    }
    // A local zone or a wavelength zone: `us-east-1-bos-1a`.
    if let Some(region) = KNOWN.iter().find(|region| {
        text.strip_prefix(**region)
            .is_some_and(|rest| rest.starts_with('-'))
    }) {
        return Err(wrong(
            format!("`{text}` is a zone"),
            format!("the region is {region}"),
        ));
    }
    if is_region(text) && !near_by_shape(text) {
        return Ok(Region::from_api(text));
    }
    match super::nearest(&text.to_ascii_lowercase(), KNOWN) {
        Some(near) => Err(wrong(
            format!("`{text}` is no region"),
            format!("did you mean `{near}`?"),
        )),
        None => Err(wrong(
            format!("`{text}` is no region"),
            "name one such as eu-central-1".to_owned(),
        )),
    }
}

/// `eu-central-1`: a partition's or continent's letters, a direction, a number.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [first, middle @ .., last] = parts.as_slice() else {
        return false;
    };
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    (2..=5).contains(&first.len())
        && text.len() <= 40
        && word(first)
        && !middle.is_empty()
        && middle.iter().all(word)
        && (1..=2).contains(&last.len())
        && last.bytes().all(|b| b.is_ascii_digit())
}

/// Well-formed, but its letters are one slip away from a known region's: `eu-centrl-1`. A new number in a known place
/// (`eu-central-9`) and a new place (`eu-east-1`) are taken.
fn near_by_shape(text: &str) -> bool {
    let letters = |text: &str| {
        text.trim_end_matches(|c: char| c.is_ascii_digit())
            .to_owned()
    };
    let place = letters(text);
    if KNOWN.iter().any(|known| letters(known) == place) {
        return false;
    }
    let words = [
        "north",
        "south",
        "east",
        "west",
        "central",
        "northeast",
        "southeast",
        "northwest",
        "southwest",
        "gov",
        "iso",
        "isob",
        "isoe",
        "isof",
    ];
    // A place of known words is a new region, not a slip.
    !place
        .trim_end_matches('-')
        .split('-')
        .skip(1)
        .all(|word| words.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_a_region_is_refused_with_the_right_one() {
        for (text, words) in [
            ("eu-central-1a", "the region is eu-central-1"),
            ("eu-central-9b", "the region is eu-central-9"),
            ("us-east-1-bos-1a", "the region is us-east-1"),
            ("eu-centrl-1", "`eu-central-1`"),
            ("EU-CENTRAL-1", "`eu-central-1`"),
            ("eu_central_1", "`eu-central-1`"),
            ("eu-central1", "`eu-central-1`"),
            ("eucentral-1", "`eu-central-1`"),
            ("frankfurt", "such as"),
            ("eu-central-1 ", "`eu-central-1`"),
            ("", "such as"),
            ("-", "such as"),
            ("ü", "such as"),
        ] {
            let problem = region(text, "--region").unwrap_err();
            assert!(
                problem.hint.contains(words),
                "{text}: {problem} / {}",
                problem.hint
            );
            assert_eq!(problem.kind, Kind::Usage);
        }
        for text in [
            "eu-central-1",
            "eu-east-1",
            "eu-central-9",
            "us-gov-west-1",
            "us-iso-east-1",
            "xx-north-12",
        ] {
            assert_eq!(region(text, "--region").unwrap().as_str(), text);
        }
    }
}
