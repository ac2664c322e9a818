//! What `pointsman check` says of the upstreams: whether each answers, and by which name it knows this site.

use super::check::Findings;
use crate::boot::Line;
use crate::site::Site;
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

fn problem(upstream: &Upstream, error: &UpstreamError) -> String {
    let name = upstream.name();
    let help = match error {
        UpstreamError::Unreachable { .. } | UpstreamError::TimedOut { .. } => format!(
            "see that it runs, that its [api] is enabled, that a firewall lets this server in, and that `url` and `ca` \
             of [upstream.{name}] are right"
        ),
        UpstreamError::Failed { status: 404, .. } | UpstreamError::Nonsense { .. } => format!(
            "see that `url` of [upstream.{name}] names the port of the decision API, 4443 unless its [api] says otherwise"
        ),
        UpstreamError::Failed { .. } => "see its log".to_owned(),
        // These say themselves what to do.
        _ => return error.to_string(),
    };
    format!("{error}\n  help: {help}")
}
