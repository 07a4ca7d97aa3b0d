//! A private PostgreSQL server in a folder of its own, on a port of its own, gone with the test. Its binaries are found in
//! MILLSTREAM_PG_BIN, in Debian's place, or on the path. As root it runs as the user `postgres`, since the server refuses root.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub struct Cluster {
    bin: PathBuf,
    folder: tempfile::TempDir,
    child: Option<Child>,
    tls: bool,
    pub port: u16,
}

fn bin() -> Option<PathBuf> {
    let named = std::env::var_os("MILLSTREAM_PG_BIN").map(PathBuf::from);
    let mut debian: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path().join("bin")))
        .collect();
    debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let all = named.into_iter().chain(debian.into_iter().rev()).chain(on_path);
    all.into_iter().find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

fn root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// A command that does not run as root.
fn command(program: &Path) -> Command {
    if !root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

impl Cluster {
    /// Starts one; `None`, said aloud, where PostgreSQL is not installed.
    pub fn start() -> Option<Cluster> {
        let mut cluster = Cluster::made()?;
        cluster.up();
        Some(cluster)
    }

    /// Starts one that speaks TLS as `localhost`, by a certificate of an authority of its own ([`Cluster::ca_file`]).
    pub fn start_with_tls() -> Option<Cluster> {
        let mut cluster = Cluster::made()?;
        let folder = cluster.folder.path().to_owned();
        for line in [
            "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=authority -days 2",
            "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost -addext subjectAltName=DNS:localhost",
            "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -copy_extensions copy",
        ] {
            let made = Command::new("openssl").args(line.split(' ')).current_dir(&folder).output();
            let made = match made {
                Ok(made) => made,
                Err(error) => {
                    millstream_skip::skip("PostgreSQL over TLS", &format!("openssl is missing: {error}"));
                    return None;
                }
            };
            assert!(made.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&made.stderr));
        }
        if root() {
            let owned =
                Command::new("chown").arg("postgres").arg(folder.join("server.key")).status().unwrap();
            assert!(owned.success(), "giving the key to the user postgres");
        }
        cluster.tls = true;
        cluster.up();
        Some(cluster)
    }

    /// The authority's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    fn made() -> Option<Cluster> {
        let Some(bin) = bin() else {
            millstream_skip::skip("PostgreSQL", "its server is missing (apt-get install postgresql)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        if root() {
            let owned = Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap();
            assert!(owned.success(), "giving the folder to the user postgres");
        }
        let data = folder.path().join("data");
        let made = command(&bin.join("initdb"))
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Some(Cluster { bin, folder, child: None, tls: false, port })
    }

    /// Starts the server over its folder, and waits until it answers.
    pub fn up(&mut self) {
        let tls = if self.tls {
            let file = |name: &str| self.folder.path().join(name).display().to_string();
            vec![
                "-c".to_owned(),
                "ssl=on".to_owned(),
                "-c".to_owned(),
                format!("ssl_cert_file={}", file("server.crt")),
                "-c".to_owned(),
                format!("ssl_key_file={}", file("server.key")),
            ]
        } else {
            Vec::new()
        };
        let child = command(&self.bin.join("postgres"))
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .args(["-c", "unix_socket_directories="])
            .args(tls)
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        for _ in 0..600 {
            let ready = Command::new(self.bin.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status()
                .unwrap();
            if ready.success() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("PostgreSQL did not start within 30 s");
    }

    /// Stops it at once, as a crash would.
    pub fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("kill").args(["-QUIT", &child.id().to_string()]).status();
            let _ = child.wait();
        }
    }

    pub fn dsn(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub async fn client(&self) -> tokio_postgres::Client {
        let (client, driver) = tokio_postgres::connect(&self.dsn(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(driver);
        client
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.down();
    }
}
