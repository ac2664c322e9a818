//! What `pointsman check` says of the upstreams, whether each answers and by which name it knows this site, and of object
//! storage.

use super::check::Findings;
use crate::boot::{FileName, Line};
use crate::cache::NotFound;
use crate::site::Site;
use crate::tls::ServerFailure;
use crate::upstream::{Upstream, UpstreamError};

/// Asks each upstream once whether it is there.
pub(super) async fn upstreams(site: &Site, findings: &mut Findings) {
    for upstream in site.upstreams.iter() {
        let name = upstream.name();
        match upstream.health_check().await {
            Ok(Some(health)) => {
                let known = health.site.as_ref().map_or("", Line::as_str);
                findings.good(format!("upstream `{name}`: answers, and knows this site as `{known}`"));
                let own = &site.config.server.site;
                if !own.is_empty() && own.as_str() != known {
                    findings.note(format!(
                        "upstream `{name}`: rules there see the site `{known}`, and rules here see `{own}`, as [server] \
                         site says"
                    ));
                }
            }
            Ok(None) if upstream.section().url.is_none() && upstream.section().script.is_none() => {
                findings
                    .note(format!("upstream `{name}`: machines are handed over to it; it cannot be asked from here"));
            }
            Ok(None) => findings.good(format!("upstream `{name}`: takes connections")),
            Err(error) => findings.bad(problem(upstream, &error)),
        }
    }
}

/// Asks each storage once for a file that nobody has.
pub(super) async fn storages(site: &Site, findings: &mut Findings) {
    for (name, section) in &site.config.storages {
        let Ok(file) = format!("@{name}/{NO_FILE}").parse::<FileName>() else { continue };
        match site.images.look_for(&file).await {
            Err(NotFound::Refused(why)) => findings.note(format!(
                "storage `{name}`: {why}; is the key right? one that may read and not list is told so, too, of files that \
                 are not there"
            )),
            Ok(()) | Err(NotFound::Missing(_)) => findings.good(format!("storage `{name}`: answers")),
            Err(NotFound::Unsure(why)) => {
                let endpoint = section.endpoint.as_deref().map_or("it", |endpoint| endpoint);
                // As with its files: the cache may have them, and a reload need not wait for the service.
                findings.note(format!(
                    "storage `{name}`: {why}\n  help: see that {endpoint} runs, that a firewall lets this server out, and \
                     that `endpoint` and `ca` of [storage.{name}] are right"
                ));
            }
        }
    }
}

/// The name of a file that is in no storage.
const NO_FILE: &str = "pointsman-check";

fn problem(upstream: &Upstream, error: &UpstreamError) -> String {
    let name = upstream.name();
    let help = match error {
        UpstreamError::Unreachable { failure: Some(ServerFailure::Untrusted), .. } => format!(
            "is `url` of [upstream.{name}] right? if the upstream has a new CA, get a new certificate: `pointsman site add` \
             there, `pointsman site enroll --force` here; else somebody is in between"
        ),
        UpstreamError::Unreachable { failure: Some(ServerFailure::NotTls), .. } => port(name),
        // This says itself what to do.
        UpstreamError::Unreachable { failure: Some(ServerFailure::WrongName), .. } => return error.to_string(),
        UpstreamError::Unreachable { .. } | UpstreamError::TimedOut { .. } => format!(
            "see that it runs, that its [api] is enabled, that a firewall lets this server in, and that `url` and `ca` \
             of [upstream.{name}] are right"
        ),
        UpstreamError::Failed { status: 404, .. } | UpstreamError::Nonsense { .. } => port(name),
        UpstreamError::Failed { .. } => "see its log".to_owned(),
        // These say themselves what to do.
        _ => return error.to_string(),
    };
    format!("{error}\n  help: {help}")
}

fn port(name: &str) -> String {
    format!(
        "see that `url` of [upstream.{name}] names the port of the decision API, 4443 unless its [api] says otherwise"
    )
}
