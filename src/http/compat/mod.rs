//! Front doors of other boot servers: the paths and field names that their loaders and scripts were made for, each a
//! translation into our own way in. Closed unless the site opens them.
//!
//! | door | paths | answers |
//! |---|---|---|
//! | [`Door::Altiris`] | `/Altiris/iPXE/GetPxeScript.aspx`, on a port of its own too (4433) | iPXE script |
//! | [`Door::TwoPxe`] | `/2PXE/boot` | iPXE script |
//! | [`Door::Fog`] | `/fog/service/ipxe/boot.php` | iPXE script |
//! | [`Door::Pixiecore`] | `/v1/boot/<MAC address>` | JSON |
//!
//! The servers that had these paths run on Windows or behind PHP, so that the case of a path does not matter. Field names
//! are in one table, [`fields::NAMES`]; what is in no row is not read.
//!
//! **Invariant**: nothing is decided here, and no door leads past *allow boot?*.

mod fields;
mod pixiecore;

pub use fields::machine as facts_of_fields;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;

use super::answers::text;
use super::form::fields_of;
use super::{Connection, HttpState, entry};

/// A front door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Altiris Deployment Server, Ghost Solution Suite.
    Altiris,
    /// FOG.
    Fog,
    /// Pixiecore's API.
    Pixiecore,
    /// 2PXE.
    TwoPxe,
}

/// The paths in lower case, without the slash in front.
const PATHS: [(&str, Door); 3] = [
    ("altiris/ipxe/getpxescript.aspx", Door::Altiris),
    ("2pxe/boot", Door::TwoPxe),
    ("fog/service/ipxe/boot.php", Door::Fog),
];
/// What is before the MAC address.
const PIXIECORE: &str = "v1/boot/";

/// The door of a path, and what is behind `v1/boot/`.
fn door_of(path: &str) -> Option<(Door, String)> {
    let path = path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/").to_ascii_lowercase();
    if let Some(mac) = path.strip_prefix(PIXIECORE) {
        return Some((Door::Pixiecore, mac.to_owned()));
    }
    PATHS.iter().find(|(known, _)| *known == path).map(|(_, door)| (*door, String::new()))
}

/// Every path that is none of ours.
pub(super) async fn door(
    State(state): State<Arc<HttpState>>,
    Extension(via): Extension<Connection>,
    request: Request,
) -> Response {
    let Some((door, mac)) = door_of(request.uri().path()).filter(|(door, _)| state.site.has_door(*door)) else {
        return text(StatusCode::NOT_FOUND, "not found\n");
    };
    let may_post = door != Door::Pixiecore;
    if !(*request.method() == Method::GET || *request.method() == Method::POST && may_post) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "not by this method\n");
    }
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let fields = match fields_of(request).await {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    let machine = fields::machine(&fields);
    match door {
        Door::Pixiecore => pixiecore::answer(state, via, &mac, machine).await,
        // A machine that does not say who it is comes again through the same door.
        _ => entry::enter(state, via, machine, &path).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_any_case() {
        for (path, door) in [
            ("/Altiris/iPXE/GetPxeScript.aspx", Door::Altiris),
            ("/altiris//ipxe/getpxescript.ASPX", Door::Altiris),
            ("/2PXE/boot", Door::TwoPxe),
            ("/2pxe/Boot/", Door::TwoPxe),
            ("/fog/service/ipxe/boot.php", Door::Fog),
            ("/v1/boot/52:54:00:00:00:01", Door::Pixiecore),
        ] {
            assert_eq!(door_of(path).map(|(door, _)| door), Some(door), "{path}");
        }
        assert_eq!(door_of("/v1/boot/52-54-00-AB-00-01").unwrap().1, "52-54-00-ab-00-01");
        for path in ["/", "/2PXE", "/2PXE/boot/x", "/fog/service/ipxe/", "/v1/boot"] {
            assert_eq!(door_of(path), None, "{path}");
        }
    }
}
