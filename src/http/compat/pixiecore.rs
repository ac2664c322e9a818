//! Pixiecore's API as a server: what a machine boots, by its MAC address, as JSON.
//!
//! Its form has one Linux: a kernel, initial RAM disks and a command line. What else a site's rules say, it cannot say:
//! such a machine gets 404, on which the one who asks boots nothing, and the log tells why.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::json;
use tracing::info;

use super::super::answers::{shown_reason, text};
use super::super::boot::Asked;
use super::super::{Connection, HttpState, entry};
use crate::boot::{BootImage, BootImages, HardwareAddress, ImageKind, Machine, Stage};
use crate::ipxe::SessionUrls;

/// Who asks says its transaction number by no other way; one boot is one session for as long as it asks.
const XID: u32 = 0;

/// `/v1/boot/<mac>`. The facts are what the query adds, which is nothing in pixiecore itself.
pub(super) async fn answer(state: Arc<HttpState>, via: Connection, mac: &str, mut machine: Machine) -> Response {
    // Colons may come encoded.
    let mac = mac.replace("%3a", ":");
    let is_mac = mac.parse::<HardwareAddress>().is_ok() && machine.insert("mac", &mac);
    let Some(client) = entry::client(&machine).filter(|_| is_mac) else {
        return text(StatusCode::BAD_REQUEST, "this is no MAC address; ask for /v1/boot/52:54:00:12:34:56\n");
    };
    let now = Timestamp::now();
    let session = state.engine.session_for(&client, XID, Stage::Discover, now);
    let asked = Asked { state, via, session, now };
    let decision = asked.evaluated(machine).await;
    if let Some(response) = asked.held(&decision) {
        return response;
    }
    let told = match shown_reason(&decision.verdict) {
        Some(reason) => Err(reason.to_string()),
        None => document(decision.images.as_ref(), &asked.urls()),
    };
    match told {
        Ok(document) => {
            ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], document.to_string()).into_response()
        }
        Err(why) => {
            info!(mac = %client.hardware, peer = %asked.via.peer, why, "nothing to boot by pixiecore's API");
            text(StatusCode::NOT_FOUND, &format!("{why}\n"))
        }
    }
}

/// The image that boots when nobody chooses, in pixiecore's words.
fn document(images: Option<&BootImages>, urls: &SessionUrls) -> Result<serde_json::Value, String> {
    let image =
        images.map(first).transpose()?.flatten().ok_or("there is nothing to boot but the machine's own disk")?;
    if image.assignment.is_some() {
        return Err("an assignment needs a client that reports its start, which this API has no word for".into());
    }
    if image.verify.is_some() || images.is_some_and(|images| images.prompt().is_some()) {
        return Err(format!("`{}` needs a key or a signature, which this API has no word for", image.id));
    }
    let ImageKind::Linux { kernel, initrd, cmdline } = &image.kind else {
        return Err(format!("the image `{}` is no Linux, and this API has no word for others", image.id));
    };
    let cmdline = urls.command_line(cmdline);
    if cmdline.as_str().contains("{{") {
        return Err(format!("the command line of `{}` has {{{{, which would be a call in this API", image.id));
    }
    let initrd: Vec<String> = initrd.iter().map(|source| urls.source_url(source)).collect();
    Ok(json!({
        "kernel": urls.source_url(kernel),
        "initrd": initrd,
        "cmdline": cmdline.as_str(),
        "message": image.title.as_str(),
    }))
}

fn first(images: &BootImages) -> Result<Option<&BootImage>, String> {
    if images.ask().is_some() {
        return Err("somebody at the machine is to be asked, which this API has no word for".into());
    }
    let default = images.menu().and_then(|menu| menu.default.as_ref());
    Ok(match default {
        Some(id) => images.images().iter().find(|image| image.id == *id),
        None => images.images().first(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::Line;

    fn image(id: &str, kind: ImageKind) -> BootImage {
        BootImage {
            id: id.into(),
            title: Line::clean(id),
            assignment: None,
            verify: None,
            choice: Default::default(),
            kind,
        }
    }

    fn linux(cmdline: &str) -> ImageKind {
        ImageKind::Linux {
            kernel: "debian/linux".parse().unwrap(),
            initrd: vec!["http://h/i".parse().unwrap()],
            cmdline: Line::new(cmdline).unwrap(),
        }
    }

    fn told(images: Vec<BootImage>) -> Result<serde_json::Value, String> {
        let images = BootImages::new(images, None).unwrap();
        document(Some(&images), &"http://10.0.0.2/b/t0k/".parse().unwrap())
    }

    #[test]
    fn one_linux_is_told() {
        let document = told(vec![image("debian", linux("quiet ks={files_url}/ks.cfg"))]).unwrap();
        assert_eq!(
            document,
            json!({
                "kernel": "http://10.0.0.2/b/t0k/f/debian/linux",
                "initrd": ["http://h/i"],
                "cmdline": "quiet ks=http://10.0.0.2/b/t0k/f/ks.cfg",
                "message": "debian",
            })
        );
    }

    #[test]
    fn what_has_no_word_there_is_refused_with_the_reason() {
        let assigned = BootImage { assignment: Some("1".into()), ..image("debian", linux("")) };
        for (images, why) in [
            (vec![], "own disk"),
            (vec![image("disk", ImageKind::LOCAL)], "no Linux"),
            (vec![image("debian", linux("{{ x"))], "{{"),
            (vec![assigned], "reports its start"),
        ] {
            let error = told(images).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
