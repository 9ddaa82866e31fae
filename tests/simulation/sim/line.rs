//! The console's line to AWS, which is cut in the moment in which the console dies. What was sent before is carried
//! out; no answer ever arrives.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use freezeframe::lab::connector::LabHttpClient;

/// Whether a console lives.
#[derive(Debug, Clone)]
pub struct Life(Arc<AtomicBool>);

impl Life {
    pub fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub fn end(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Whether the network around the consoles is gone. What was asked before may be carried out; nobody hears of it.
#[derive(Debug, Clone, Default)]
pub struct Dark(Arc<AtomicBool>);

impl Dark {
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::SeqCst);
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Is told of every call that AWS has carried out, and how it answers, before anybody else hears of it.
#[derive(Clone)]
pub struct Ear(pub Arc<dyn Fn(&str) + Send + Sync>);

impl std::fmt::Debug for Ear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ear")
    }
}

#[derive(Debug)]
struct Line {
    lab: LabHttpClient,
    life: Life,
    dark: Dark,
    ear: Ear,
}

/// A client for a console with this life.
pub fn client(lab: LabHttpClient, life: Life, dark: Dark, ear: Ear) -> SharedHttpClient {
    SharedHttpClient::new(Line {
        lab,
        life,
        dark,
        ear,
    })
}

impl HttpClient for Line {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Wire {
            lab: self.lab.http_connector(settings, components),
            life: self.life.clone(),
            dark: self.dark.clone(),
            ear: self.ear.clone(),
        })
    }
}

#[derive(Debug)]
struct Wire {
    lab: SharedHttpConnector,
    life: Life,
    dark: Dark,
    ear: Ear,
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let life = self.life.clone();
        if !life.is_on() {
            return HttpConnectorFuture::new(std::future::pending());
        }
        let (lab, dark, ear) = (self.lab.clone(), self.dark.clone(), self.ear.clone());
        // There and back; the thread's dice are seeded by the story.
        let [there, back] = [(); 2].map(|()| Duration::from_millis(fastrand::u64(2..60)));
        HttpConnectorFuture::new(async move {
            tokio::time::sleep(there).await;
            if !life.is_on() {
                std::future::pending::<()>().await;
            }
            if dark.is_on() {
                return Err(cut());
            }
            let answer = lab.call(request).await;
            let said = answer.as_ref().ok().and_then(|said| said.body().bytes());
            (ear.0)(&String::from_utf8_lossy(said.unwrap_or_default()));
            tokio::time::sleep(back).await;
            if !life.is_on() {
                std::future::pending::<()>().await;
            }
            if dark.is_on() { Err(cut()) } else { answer }
        })
    }
}

fn cut() -> ConnectorError {
    ConnectorError::io(io::Error::new(io::ErrorKind::ConnectionReset, "the network is gone").into())
}
