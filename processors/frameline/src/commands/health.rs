//! `frameline health`: whether a service answers, by its exit status; what an orchestrator asks by the binary itself,
//! where the image has nothing else that could.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::cli;
use crate::error::{Refusal, Told};
use crate::http;

#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    url: String,
    status: u16,
    answer: String,
}

pub(super) async fn run(context: Context, health: cli::Health) -> Result<()> {
    let url = url(health.address.unwrap_or(context.loaded.config.service.listen), health.ready)?;
    let unanswered = |error: reqwest::Error| {
        Refusal::new(
            format!("nobody answers at {url}"),
            "see that the service runs, and that service.listen is its own",
        )
        .because(error)
    };
    let answer = http::ask(&url).await.map_err(unanswered)?;
    let (ok, status) = (answer.status().is_success(), answer.status().as_u16());
    let answer = answer.text().await.map_err(unanswered)?.trim().to_owned();
    context.output.print(&Report { ok, url, status, answer })?;
    if ok { Ok(()) } else { Err(Told.into()) }
}

/// What is asked. A service that listens everywhere does so on the loopback, too.
fn url(address: SocketAddr, ready: bool) -> Result<String> {
    if address.port() == 0 {
        let help = "name the address that it told when it was ready: --address 127.0.0.1:PORT";
        return Err(Refusal::new("service.listen is any free port, so nobody knows which", help).into());
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let path = if ready { "readyz" } else { "healthz" };
    Ok(format!("http://{}/{path}", SocketAddr::new(ip, address.port())))
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn a_service_that_listens_everywhere_is_asked_on_the_loopback() {
        let asked = |address: &str, ready| url(address.parse().unwrap(), ready).unwrap();
        assert_eq!(asked("0.0.0.0:8470", false), "http://127.0.0.1:8470/healthz");
        assert_eq!(asked("[::]:8470", true), "http://[::1]:8470/readyz");
        assert_eq!(asked("10.0.0.7:80", true), "http://10.0.0.7:80/readyz");
        let error = url("127.0.0.1:0".parse().unwrap(), true).unwrap_err();
        assert!(error.downcast_ref::<Refusal>().unwrap().help().contains("--address"));
    }

    #[test]
    fn the_shape_of_a_report_is_kept() {
        let url = "http://127.0.0.1:8470/healthz".to_owned();
        let report = Report { ok: true, url, status: 200, answer: "ok".to_owned() };
        assert_eq!([serde_json::to_value(report).unwrap()].as_slice(), documented("health"));
    }
}
