//! Credentials that were renewed in the file while a session lasts, on a lab whose sessions expire.

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use freezeframe::aws::session::{Options, Session};
use freezeframe::config::acting::Asked;
use freezeframe::config::aws::{Aws, Endpoints};
use freezeframe::config::aws_files::AwsFiles;
use freezeframe::config::origin::Origin;
use freezeframe::config::variables::Variables;
use freezeframe::domain::ids::Region;
use freezeframe::domain::problem::Kind;
use freezeframe::lab::FaultKind;

use super::support::{Bench, bench};

fn keys(id: &str) -> String {
    format!("[viewer]\naws_access_key_id = {id}\naws_secret_access_key = lab\n")
}

/// A session of the profile `viewer` of this file.
async fn viewer(bench: &Bench, file: &std::path::Path) -> Session {
    let nowhere = file.with_file_name("config");
    let variables = Variables::from_pairs([
        ("AWS_SHARED_CREDENTIALS_FILE", file),
        ("AWS_CONFIG_FILE", &nowhere),
    ]);
    let aws = Aws {
        asked: Asked {
            profile: Some("viewer".to_owned()),
            by: Origin::Flag("--profile"),
        },
        files: AwsFiles::read(&variables).unwrap(),
        variables,
        region: Some((Region::from_api("eu-central-1"), Origin::Default)),
        endpoints: Endpoints::everywhere(Some("http://lab.invalid".to_owned())),
        ..Aws::default()
    };
    Session::open(Options {
        aws: Some(aws),
        http: Some(SharedHttpClient::new(bench.lab.connector())),
        ..Options::default()
    })
    .await
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_session_that_expired_goes_on_with_what_the_file_has_now() {
    let bench = bench().await;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("credentials");
    std::fs::write(&file, keys("AKIAFIRST")).unwrap();
    let session = viewer(&bench, &file).await;
    session.volumes().await.unwrap();
    // The same keys again do not help, and are told as what they are.
    bench.fault("DescribeVolumes", 0, 2, FaultKind::Expired);
    for _ in 0..2 {
        let problem = session.volumes().await.unwrap_err();
        assert_eq!(problem.kind, Kind::Credentials, "{problem}");
        assert!(problem.hint.contains("ctrl-r"), "{}", problem.hint);
    }
    std::fs::write(&file, keys("AKIASECOND")).unwrap();
    session.volumes().await.unwrap();
    // STS does not know the new ones yet: nothing is signed with them, and the next call asks again.
    std::fs::write(&file, keys("AKIATHIRD")).unwrap();
    session.renew_credentials();
    bench.fault("GetCallerIdentity", 0, 1, FaultKind::Expired);
    let problem = session.volumes().await.unwrap_err();
    assert_eq!(problem.kind, Kind::Credentials, "{problem}");
    session.volumes().await.unwrap();
}
