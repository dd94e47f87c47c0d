//! What `understory serve --lan` says for other devices: the URL, the same as a QR code, and what their browsers will ask.

use std::io::{self, IsTerminal};

use anyhow::Result;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use crate::output::{self, Console};
use crate::serve::Lan;

/// The URL goes to stdout, the rest to stderr; the QR code with `always`, or where somebody may see it.
pub fn invite(lan: &Lan, always: bool, console: &Console) -> Result<()> {
    let invitation = lan.invitation()?;
    let Some((url, others)) = invitation.urls.split_first() else { return Ok(()) };
    console
        .note("\nA phone or another computer on this network can open this page, measure, and send its report here:");
    output::text(&format!("{url}\n"))?;
    if always || io::stderr().is_terminal() {
        console.picture(&format!("\n{}\n", code(url)?));
    }
    for other in others {
        console.note(&format!("If it does not answer there: {other}"));
    }
    console.note(&format!(
        "Its browser will warn that no authority knows this computer's certificate. Look at the certificate, and go on if \
         its\nSHA-256 is {}\n(it is also in {}).\nWhoever has the URL can send reports until this program ends: show \
         it to nobody else.",
        invitation.fingerprint, invitation.certificate
    ));
    Ok(())
}

/// In half blocks, with the margin that readers want; black on white, by the two of 256 colours that no theme changes.
fn code(text: &str) -> Result<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L)?;
    let image = code.render::<Dense1x2>().quiet_zone(true).build();
    Ok(image.lines().map(|line| format!("\x1b[38;5;16;48;5;231m{line}\x1b[0m\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::code;

    /// Every line sets both colours and ends them; a code drawn in the terminal's own would be inverted on a dark one.
    #[test]
    fn it_is_black_on_white_and_fits_a_terminal() {
        let drawn = code("https://192.168.100.100:8191/#bench?pair=0123456789abcdef0123456789abcdef").unwrap();
        let lines: Vec<&str> = drawn.lines().collect();
        let inside = |line: &&str| {
            let (_, rest) = line.split_once('m')?;
            Some(rest.strip_suffix("\x1b[0m")?.chars().count())
        };
        let widths: Vec<_> = lines.iter().map(inside).collect();
        assert!(widths.iter().all(|width| *width == widths[0] && width.is_some_and(|width| width <= 60)), "{widths:?}");
        assert!(lines.len() <= 30 && lines.iter().all(|line| line.starts_with("\x1b[38;5;16;48;5;231m")));
    }
}
