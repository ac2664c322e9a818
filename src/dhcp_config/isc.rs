//! ISC dhcpd: statements for the top of `dhcpd.conf`.

use super::{NO_PROXY, Option175, Plan, hex};
use crate::boot::HardwareAddress;
use crate::dhcp::pxe::VendorOptions;

pub(super) fn text(plan: &Plan) -> String {
    let mut text = String::from(
        "option pointsman-arch code 93 = unsigned integer 16;\n\
         option pointsman-175 code 175 = string;\n\n",
    );
    let (for_ipxe, for_all) = match &plan.option_175 {
        Option175::Encapsulated => (format!("    option pointsman-175 {};\n", hex(&NO_PROXY, ":")), String::new()),
        Option175::Url(url) => {
            let line = format!("    option pointsman-175 \"{url}\";\n");
            (line.clone(), line)
        }
    };
    let (server, way_in) = (plan.server, &plan.way_in);
    text += &format!(
        "if exists user-class and suffix (option user-class, 4) = \"iPXE\" {{\n\
         \x20   next-server {server};\n\
         \x20   filename \"{way_in}\";\n\
         {for_ipxe}\
         }} elsif substring (option vendor-class-identifier, 0, 10) = \"HTTPClient\" {{\n\
         \x20   # Without option 60 in the answer the firmware does not take it.\n\
         \x20   option vendor-class-identifier \"HTTPClient\";\n\
         \x20   option dhcp-parameter-request-list = concat (option dhcp-parameter-request-list, 3c);\n",
    );
    text += &by_architecture(plan, true);
    if plan.raspberry_pi {
        text += &raspberry_pi(plan);
    }
    text += &format!(
        "}} elsif substring (option vendor-class-identifier, 0, 9) = \"PXEClient\" {{\n\
         \x20   next-server {server};\n{for_all}"
    );
    text += &by_architecture(plan, false);
    text + "}\n"
}

fn by_architecture(plan: &Plan, is_http: bool) -> String {
    let mut text = String::new();
    for (index, choice) in plan.choices(is_http).enumerate() {
        let start = if index == 0 { "    if" } else { " elsif" };
        let is = |code: &u16| format!("substring (option pointsman-arch, 0, 2) = {}", hex(&code.to_be_bytes(), ":"));
        let codes = choice.codes.iter().map(is).collect::<Vec<_>>().join("\n        or ");
        text += &format!("{start} {codes} {{\n        filename \"{}\";\n    }}", choice.file);
    }
    text + "\n"
}

fn raspberry_pi(plan: &Plan) -> String {
    let is = |first: &[u8; 3]| format!("substring (hardware, 1, 3) = {}", hex(first, ":"));
    let macs = HardwareAddress::RASPBERRY_PI.iter().map(is).collect::<Vec<_>>().join("\n    or ");
    format!(
        "}} elsif {macs} {{\n\
         \x20   # No option 66: with it a Raspberry Pi 3 does not boot.\n\
         \x20   next-server {};\n\
         \x20   option vendor-class-identifier \"PXEClient\";\n\
         \x20   option vendor-encapsulated-options {};\n\
         \x20   option dhcp-parameter-request-list = concat (option dhcp-parameter-request-list, 2b, 3c);\n",
        plan.server,
        hex(VendorOptions::RASPBERRY_PI, ":")
    )
}
