use super::*;

fn config(text: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, text).unwrap();
    crate::config::load(Some(&file), &crate::config::Overrides::default()).unwrap()
}

fn catalogue_of(text: &str) -> Catalogue {
    Catalogue::new(&config(text)).unwrap()
}

/// Refused for the key in the last line, which is the line that is told.
fn refusal(text: &str) -> Problem {
    refusal_at(text, text.lines().count())
}

fn refusal_at(text: &str, line: usize) -> Problem {
    let problem = Catalogue::new(&config(text)).unwrap_err();
    assert_eq!(problem.kind, Kind::Usage);
    let place = format!("c.toml: line {line}");
    assert!(problem.what.ends_with(&place), "{place}: {problem}");
    problem
}

fn instance() -> InstanceId {
    InstanceId::from_api("i-0123456789abcdef0")
}

#[test]
fn without_a_configuration_it_is_the_built_in_catalogue() {
    let here = Catalogue::default();
    assert_eq!(here.all().len(), catalogue::all().len());
    for recipe in catalogue::all() {
        let chosen = here.lookup(recipe.name, &instance()).unwrap();
        assert_eq!(chosen.document, recipe.document);
        assert!(!chosen.third_party && chosen.parameters.is_empty());
        assert_eq!(chosen.budget_s, 30);
    }
    assert_eq!(here.find("AmazonLinuxMySQL").unwrap().name, "linux-mysql");
    assert!(here.find("Linux-MySQL").is_none());
}

#[test]
fn a_recipe_of_ones_own_is_chosen_by_its_name() {
    let here = catalogue_of(
        "[recipes.my-app]\ndocument = \"MyApp\"\nbudget_seconds = 45\nparameters = { budgetSeconds = \"40\" }\n\
         [snapshot]\nbudget_seconds = 20\n",
    );
    let chosen = here.lookup("my-app", &instance()).unwrap();
    assert_eq!(
        (chosen.document.as_str(), chosen.third_party, chosen.level),
        ("MyApp", true, Level::Crash)
    );
    assert_eq!(chosen.budget_s, 45);
    assert_eq!(chosen.parameters["budgetSeconds"], "40");
    assert_eq!(here.find("linux-filesystem").unwrap().budget_s, 20);
    let near = here.lookup("my-ap", &instance()).unwrap_err();
    assert!(near.hint.contains("my-app"), "{}", near.hint);
    let near = here.lookup("AmazonLinuxMySql", &instance()).unwrap_err();
    assert!(near.hint.contains("linux-mysql"), "{}", near.hint);
    let later = here.lookup("WindowsVSS", &instance()).unwrap_err();
    assert_eq!(later.kind, Kind::State);
}

#[test]
fn our_own_document_under_another_name_is_third_party_only_where_the_configuration_says_so() {
    let text = "[recipes.slow]\ndocument = \"freezeframe-linux-mysql\"\nparameters = { lockRetries = \"9\" }\n";
    let here = catalogue_of(text);
    let slow = here.find("slow").unwrap();
    assert!(!slow.third_party && slow.level == Level::Application);
    let here = catalogue_of(
        "[recipes.slow]\ndocument = \"freezeframe-linux-mysql\"\nthird_party = true\n",
    );
    assert!(here.find("slow").unwrap().third_party);
}

#[test]
fn a_built_in_recipe_takes_parameters_only() {
    let here = catalogue_of("[recipes.linux-mysql.parameters]\nlockWaitSeconds = \"10\"\n");
    let mysql = here.find("AmazonLinuxMySQL").unwrap();
    assert_eq!(mysql.parameters["lockWaitSeconds"], "10");
    assert_eq!(here.all().len(), catalogue::all().len());
    for extra in [
        "document = \"abc\"",
        "platform = \"linux\"",
        "third_party = true",
        "budget_seconds = 5",
        "what = \"x\"",
    ] {
        let problem = refusal(&format!("[recipes.linux-mysql]\n{extra}\n"));
        assert!(
            problem.hint.contains("parameters"),
            "{problem} {}",
            problem.hint
        );
    }
    let problem = refusal_at(
        "[recipes.AmazonLinuxMySQL.parameters]\nlockWaitSeconds = \"10\"\n",
        1,
    );
    assert!(problem.cause.contains("linux-mysql"), "{problem}");
}

#[test]
fn what_the_document_would_refuse_is_refused_here() {
    let problem = refusal("[recipes.linux-mysql.parameters]\nlockWaitSecond = \"10\"\n");
    assert!(
        problem.hint.contains("`lockWaitSeconds`"),
        "{}",
        problem.hint
    );
    let problem = refusal("[recipes.linux-mysql.parameters]\nlockWaitSeconds = \"0\"\n");
    assert!(problem.hint.contains("match"), "{}", problem.hint);
    for key in CONTRACT {
        let problem = refusal(&format!(
            "[recipes.linux-mysql.parameters]\n{key} = \"x\"\n"
        ));
        assert!(problem.cause.contains(key), "{problem}");
    }
    refusal("[recipes.a]\ndocument = \"Foreign\"\nparameters = { command = \"x\" }\n");
    let problem = refusal_at(
        "[recipes.linux-mysqll.parameters]\nlockRetries = \"1\"\n",
        1,
    );
    assert!(problem.cause.contains("no document"), "{problem}");
    assert!(
        problem.hint.contains("did you mean `linux-mysql`"),
        "{}",
        problem.hint
    );
}

#[test]
fn a_document_named_directly_is_third_party_unless_it_is_ours() {
    let here = Catalogue::default();
    let theirs = here.document("MyCompany-PrePost").unwrap();
    assert!(theirs.third_party && theirs.name == "MyCompany-PrePost");
    let ours = here.document("freezeframe-linux-mysql").unwrap();
    assert!(!ours.third_party && ours.name == "linux-mysql");
    let problem = here.document("a;$(id)").unwrap_err();
    assert_eq!(problem.kind, Kind::Usage);
}

#[test]
fn flags_win_over_the_configuration_and_are_checked_like_it() {
    let with = |document: &str, key: &str, value: &str| {
        Catalogue::default()
            .document(document)
            .unwrap()
            .with(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
    };
    let mysql = "freezeframe-linux-mysql";
    let chosen = with(mysql, "lockRetries", "5").unwrap();
    assert_eq!(chosen.parameters["lockRetries"], "5");
    for (key, value) in [
        ("lockRetries", "many"),
        ("lockRetires", "5"),
        ("budgetSeconds", "5"),
        ("mode", "autonomous"),
    ] {
        assert_eq!(
            with(mysql, key, value).unwrap_err().kind,
            Kind::Usage,
            "{key}"
        );
    }
    // What somebody else's document takes, SSM and the contract decide.
    assert!(with("Their-Document", "anything", "x").is_ok());
    assert!(with("Their-Document", "executionId", "x").is_err());
}
