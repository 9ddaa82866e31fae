//! What the shell gets: completion scripts, the values that it may complete, manual pages.

use super::{command, run, state};
use tempfile::TempDir;

/// What bash would offer for the last word.
fn offered(home: &TempDir, words: &[&str]) -> Vec<String> {
    let mut asking = command(home.path());
    asking
        .env("FREEZEFRAME_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_IFS", "\n")
        .args(["--", "freezeframe"])
        .args(words);
    let output = asking.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn profiles_regions_recipes_and_policies_are_completed() {
    let home = state();
    for directory in [".aws", ".config/freezeframe"] {
        std::fs::create_dir_all(home.path().join(directory)).unwrap();
    }
    let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
    write(".aws/config", "[profile staging]\nregion = eu-west-1\n");
    write(
        ".aws/credentials",
        "[prod]\naws_access_key_id = AKIAX\naws_secret_access_key = s\n",
    );
    write(
        ".config/freezeframe/config.toml",
        "[retention.nightly]\nkeep-last = 7\n[recipes.my-app]\ndocument = \"MyCompany-QuiesceMyApp\"\n",
    );
    assert_eq!(offered(&home, &["--profile", ""]), ["prod", "staging"]);
    let regions = offered(&home, &["--region", "eu-central"]);
    assert_eq!(regions, ["eu-central-1", "eu-central-2"]);
    let recipes = offered(&home, &["snapshot", "--recipe", ""]);
    for recipe in ["linux-mysql", "my-app"] {
        assert!(recipes.iter().any(|known| known == recipe), "{recipes:?}");
    }
    assert_eq!(offered(&home, &["prune", "--policy", ""]), ["nightly"]);
    assert!(offered(&home, &["sna"]).contains(&"snapshot".to_owned()));
    // A file with a mistake completes nothing, and is no reason to fail.
    write(".aws/config", "no line of such a file\n");
    assert_eq!(offered(&home, &["--profile", ""]), Vec::<String>::new());
}

#[test]
fn every_shell_gets_a_script() {
    let home = state();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let told = run(&home, &["completions", shell]);
        assert_eq!(told.code, 0, "{shell}: {}", told.err);
        assert!(told.out.contains("FREEZEFRAME_COMPLETE"), "{}", told.out);
    }
}

#[test]
fn the_manual_is_printed_or_written_a_page_for_each_command() {
    let home = state();
    let told = run(&home, &["man"]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.out.contains(".TH freezeframe 1"), "{}", told.out);
    let to = home.path().join("man/man1");
    let told = run(&home, &["man", "--to", to.to_str().unwrap()]);
    assert_eq!(told.code, 0, "{}", told.err);
    for page in [
        "freezeframe",
        "freezeframe-snapshot",
        "freezeframe-restore-plan",
    ] {
        let text = std::fs::read_to_string(to.join(format!("{page}.1"))).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let told = run(&home, &["man", "--to", file.to_str().unwrap()]);
    assert_eq!(told.code, 1, "{}", told.err);
    assert!(told.err.contains("next: name a directory"), "{}", told.err);
}
