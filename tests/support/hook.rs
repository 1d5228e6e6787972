//! A small HTTP server on loopback that takes what is posted to it, and answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(u16),
    /// It is read, and never answered.
    Silence,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    /// `POST /path HTTP/1.1`
    pub(crate) line: String,
    /// In lower case, with their values.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Posted {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The server; it lives as long as the test's process.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) port: u16,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Hook {
    /// Answers the first requests so, one after the other, and all others with 200.
    pub(crate) fn new(answers: &[Answer]) -> Self {
        Self::serving(answers, None)
    }

    /// Likewise, encrypted, with `server.crt` and `server.key` of this folder.
    pub(crate) fn encrypted(folder: &Path) -> Self {
        let certificate = CertificateDer::from_pem_file(folder.join("server.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self::serving(&[], Some(Arc::new(config)))
    }

    fn serving(answers: &[Answer], tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let posted: Arc<Mutex<Vec<Posted>>> = Arc::default();
        let answers = answers.to_vec();
        let taken = Arc::clone(&posted);
        std::thread::spawn(move || {
            // Connections that are never answered stay open.
            let mut open: Vec<TcpStream> = Vec::new();
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                open.push(stream.try_clone().unwrap());
                let answer = |posted: Posted| {
                    let mut taken = taken.lock().unwrap();
                    let answer = answers.get(taken.len()).copied();
                    taken.push(posted);
                    answer.unwrap_or(Answer::Status(200))
                };
                match &tls {
                    None => serve(stream, answer),
                    Some(config) => {
                        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                        serve(StreamOwned::new(connection, stream), answer);
                    }
                }
                if answers.get(taken.lock().unwrap().len().wrapping_sub(1))
                    != Some(&Answer::Silence)
                {
                    open.pop();
                }
            }
        });
        Self { port, posted }
    }

    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }
}

/// Takes one request; what cannot be read was no request.
fn serve<S: Read + Write>(stream: S, answer: impl FnOnce(Posted) -> Answer) {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line) {
            Err(_) | Ok(0) => return,
            Ok(_) if line == "\r\n" => break,
            Ok(_) => lines.push(line.trim_end().to_owned()),
        }
    }
    let headers: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.unwrap().1.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    let status = answer(Posted {
        line: lines[0].clone(),
        headers,
        body: String::from_utf8(body).unwrap(),
    });
    if let Answer::Status(status) = status {
        let text =
            format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        // Whoever has gone does not want it.
        drop(stream.get_mut().write_all(text.as_bytes()));
        drop(stream.get_mut().flush());
    }
}
