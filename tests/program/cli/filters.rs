//! `--filter` speaks one language on every list, and an empty list is never the answer to a slip.

use super::{Result, run, state};

#[test]
fn every_listing_refuses_what_its_rows_cannot_have_and_names_what_they_have() {
    let state = state();
    for (what, key) in [
        ("instances", "agent"),
        ("volumes", "instance"),
        ("snapshots", "origin"),
        ("sets", "snapshot"),
        ("jobs", "verdict"),
    ] {
        let wrong = run(&state, &["--lab", "list", what, "--filter", "x colour=red"]);
        assert_eq!(wrong.code, 2, "{what}: {}", wrong.err);
        let told = format!("at character 3: {what} have no key `colour`");
        assert!(wrong.err.contains(&told), "{}", wrong.err);
        assert!(wrong.err.contains(key), "{}", wrong.err);
        let level = run(
            &state,
            &["--lab", "list", what, "--filter", "level=aplication"],
        );
        assert_eq!(level.code, 2, "{what}: {}", level.err);
        assert!(
            level.err.contains("did you mean application?"),
            "{}",
            level.err
        );
    }
}

#[test]
fn levels_names_stars_and_unequal_find_rows() {
    let state = state();
    let count = |what: &str, filter: &str| {
        let found: Result = run(
            &state,
            &["--lab", "list", what, "--filter", filter, "-o", "json"],
        );
        match found.code {
            0 => found.json().as_array().unwrap().len(),
            3 => 0,
            code => panic!("{filter}: {code}: {}", found.err),
        }
    };
    let all = count("instances", "");
    let proven = count("instances", "level!=never");
    assert!(0 < proven && proven < all, "{proven} of {all}");
    assert_eq!(count("instances", "level=never"), all - proven);
    let prod = count("instances", "tag:Env=prod");
    assert!(0 < prod && prod < all);
    assert_eq!(count("instances", "tag:Env!=prod"), all - prod);
    assert_eq!(count("instances", "!tag:Env=prod"), all - prod);
    let shop = count("instances", "name=shop-*");
    assert!(shop > 1);
    assert_eq!(count("instances", "shop-*"), shop);
    // Whose a volume, a snapshot or a set is, by the name or a tag of its instance.
    for what in ["volumes", "snapshots", "sets"] {
        let whole = count(what, "");
        let of_one = count(what, "instance=shop-db-1");
        assert!(0 < of_one && of_one < whole, "{what}: {of_one} of {whole}");
        assert_eq!(count(what, "instance!=shop-db-1"), whole - of_one, "{what}");
    }
    let sets = count("sets", "");
    let of_prod = count("sets", "tag:Env=prod");
    assert!(of_prod > 0);
    assert_eq!(count("sets", "tag:Env!=prod"), sets - of_prod);
}
