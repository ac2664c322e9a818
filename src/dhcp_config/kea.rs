//! Kea: members of `Dhcp4`, to be copied there or named by `<?include "FILE"?>`.

use serde_json::{Value, json};

use super::{Choice, NO_PROXY, Option175, Plan, hex};
use crate::boot::HardwareAddress;
use crate::dhcp::pxe::VendorOptions;

const IPXE: &str = "pointsman-ipxe";
const PI: &str = "pointsman-raspberry-pi";

pub(super) fn text(plan: &Plan) -> String {
    let kind = if matches!(plan.option_175, Option175::Url(_)) { "string" } else { "binary" };
    let definition = json!({ "name": "pointsman-175", "code": 175, "space": "dhcp4", "type": kind });
    let mut classes = vec![json!({
        "name": IPXE,
        // As raw text, and with a length in front (RFC 3004).
        "test": "substring(option[77].hex,0,4) == 'iPXE' or substring(option[77].hex,1,4) == 'iPXE'",
        "next-server": plan.server,
        "boot-file-name": plan.way_in,
        "option-data": [option_175(plan)],
    })];
    if plan.raspberry_pi {
        classes.push(raspberry_pi(plan));
    }
    classes.extend(plan.choices(true).map(by_http));
    classes.extend(plan.choices(false).map(|choice| by_tftp(plan, choice)));
    // Neither of the two can fail to be written: they are made of texts and numbers.
    let member = |name: &str, value: &Value| format!("\"{name}\": {value:#}");
    let classes = Value::Array(classes);
    format!("{},\n{}\n", member("option-def", &json!([definition])), member("client-classes", &classes))
}

fn option_175(plan: &Plan) -> Value {
    match &plan.option_175 {
        Option175::Encapsulated => json!({ "name": "pointsman-175", "csv-format": false, "data": hex(&NO_PROXY, "") }),
        Option175::Url(url) => json!({ "name": "pointsman-175", "data": url, "always-send": true }),
    }
}

/// Kea gives a client every class whose test is true, so that each test excludes the others.
fn test(choice: &Choice, vendor_class: &str) -> String {
    let is = |code: &u16| format!("substring(option[93].hex,0,2) == 0x{code:04x}");
    let codes = choice.codes.iter().map(is).collect::<Vec<_>>().join(" or ");
    let length = vendor_class.len();
    format!("not member('{IPXE}') and substring(option[60].hex,0,{length}) == '{vendor_class}' and ({codes})")
}

fn by_http(choice: &Choice) -> Value {
    json!({
        "name": format!("pointsman-{}", choice.name),
        "test": test(choice, "HTTPClient"),
        "boot-file-name": choice.file,
        // Without option 60 in the answer the firmware does not take it.
        "option-data": [{ "name": "vendor-class-identifier", "data": "HTTPClient", "always-send": true }],
    })
}

fn by_tftp(plan: &Plan, choice: &Choice) -> Value {
    let mut test = test(choice, "PXEClient");
    if plan.raspberry_pi {
        test += &format!(" and not member('{PI}')");
    }
    let options = matches!(plan.option_175, Option175::Url(_)).then(|| option_175(plan));
    json!({
        "name": format!("pointsman-{}", choice.name),
        "test": test,
        "next-server": plan.server,
        "boot-file-name": choice.file,
        "option-data": Vec::from_iter(options),
    })
}

fn raspberry_pi(plan: &Plan) -> Value {
    let is = |first: &[u8; 3]| format!("substring(pkt4.mac,0,3) == 0x{}", hex(first, ""));
    let macs = HardwareAddress::RASPBERRY_PI.iter().map(is).collect::<Vec<_>>().join(" or ");
    let menu = hex(VendorOptions::RASPBERRY_PI, "");
    json!({
        "name": PI,
        "test": format!("substring(option[60].hex,0,9) == 'PXEClient' and ({macs})"),
        "next-server": plan.server,
        // Option 43 would be read as options of a vendor otherwise.
        "option-def": [{ "name": "vendor-encapsulated-options", "code": 43, "type": "binary" }],
        "option-data": [
            { "name": "vendor-class-identifier", "data": "PXEClient", "always-send": true },
            { "name": "vendor-encapsulated-options", "csv-format": false, "data": menu, "always-send": true },
        ],
    })
}
