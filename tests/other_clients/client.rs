// The broker's socket through nothing but Rust's standard library: prints the raw answer of one request.
// usage: client SOCKET METHOD TARGET HEADER: VALUE ... [--lines N]     --lines: hang up after so many lines of body
use std::env;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let mut stream = UnixStream::connect(&arguments[0])?;
    let mut request = format!("{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", arguments[1], arguments[2]);
    let mut lines = usize::MAX;
    let mut rest = arguments[3..].iter();
    while let Some(argument) = rest.next() {
        if argument == "--lines" {
            lines = rest.next().unwrap().parse().unwrap();
        } else {
            request.push_str(&format!("{argument}\r\n"));
        }
    }
    stream.write_all(format!("{request}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = stream.read(&mut chunk)?;
        answer.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&answer);
        let body = text.split_once("\r\n\r\n").map_or("", |parts| parts.1);
        if length == 0 || body.matches("}\n").count() >= lines {
            break;
        }
    }
    std::io::stdout().write_all(&answer)
}
