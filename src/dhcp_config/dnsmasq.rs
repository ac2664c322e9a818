//! dnsmasq: lines for `dnsmasq.conf`, or a file in `/etc/dnsmasq.d`.

use super::{Choice, NO_PROXY, Option175, Plan, hex};
use crate::boot::HardwareAddress;
use crate::dhcp::pxe::VendorOptions;

pub(super) fn text(plan: &Plan) -> String {
    let (server, way_in) = (plan.server, &plan.way_in);
    let mut lines = vec![
        "dhcp-userclass=set:pointsman-ipxe,iPXE".to_owned(),
        "dhcp-match=set:pointsman-ipxe,175".to_owned(),
        format!("dhcp-boot=tag:pointsman-ipxe,{way_in},,{server}"),
    ];
    let [code, _, value] = NO_PROXY;
    lines.push(match &plan.option_175 {
        Option175::Encapsulated => format!("dhcp-option=tag:pointsman-ipxe,encap:175,{code},{value}b"),
        Option175::Url(url) => format!("dhcp-option=175,\"{url}\""),
    });
    lines.push("# Without option 60 in the answer HTTP Boot does not take it.".to_owned());
    lines.push("dhcp-vendorclass=set:pointsman-http,HTTPClient".to_owned());
    lines.push("dhcp-option-force=tag:pointsman-http,60,HTTPClient".to_owned());
    if plan.raspberry_pi {
        let mac = |first: &[u8; 3]| format!("dhcp-mac=set:pointsman-pi,{}:*:*:*", hex(first, ":"));
        lines.extend(HardwareAddress::RASPBERRY_PI.iter().map(mac));
        lines.push("dhcp-option-force=tag:pointsman-pi,60,PXEClient".to_owned());
        lines.push(format!("dhcp-option-force=tag:pointsman-pi,43,{}", hex(VendorOptions::RASPBERRY_PI, ":")));
        // No file: the ROM has its own. The address is all that it needs.
        lines.push(format!("dhcp-boot=tag:pointsman-pi,bootcode.bin,,{server}"));
    }
    for choice in &plan.choices {
        lines.extend(by_architecture(plan, choice));
    }
    lines.join("\n") + "\n"
}

fn by_architecture(plan: &Plan, choice: &Choice) -> Vec<String> {
    let (name, file) = (&choice.name, &choice.file);
    let set = |code: &u16| format!("dhcp-match=set:pointsman-{name},option:client-arch,{code}");
    let mut lines: Vec<String> = choice.codes.iter().map(set).collect();
    let not_pi = if plan.raspberry_pi { ",tag:!pointsman-pi" } else { "" };
    lines.push(match choice.is_http {
        true => format!("dhcp-boot=tag:pointsman-http,tag:pointsman-{name},{file}"),
        false => format!("dhcp-boot=tag:!pointsman-ipxe{not_pi},tag:pointsman-{name},{file},,{}", plan.server),
    });
    lines
}
