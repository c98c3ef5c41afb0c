// `envicutor apiserver` and `envicutor node`: the parts of `up`, each startable alone.
#include <unistd.h>

#include <array>

#include "common/base/file.h"
#include "common/base/log.h"
#include "standalone/apiserver/apiserver.h"
#include "standalone/cli/command.h"
#include "standalone/cli/signals.h"
#include "standalone/node/node.h"

namespace envicutor::standalone {
namespace {

Status ReadInto(const std::string& path, std::string* text) {
  if (path.empty()) return OkStatus();
  ENVICUTOR_ASSIGN(*text, ReadFile(path, 1U << 20U));
  return OkStatus();
}

struct ApiServerFlags {
  ApiServerOptions options;
  int64_t port = 6443;
  std::string cert;
  std::string key;
  std::string client_ca;
  std::string tokens;
};

Status Complete(ApiServerFlags* flags) {
  if (flags->port < 0 || flags->port > 65535) {
    return InvalidArgument("--port: " + std::to_string(flags->port) + " is not a port");
  }
  flags->options.port = static_cast<uint16_t>(flags->port);
  if (flags->cert.empty() != flags->key.empty()) {
    return InvalidArgument("--tls-cert-file and --tls-private-key-file go together");
  }
  if (!flags->cert.empty()) {
    http::TlsServerOptions tls;
    tls.require_client_cert = false;
    ENVICUTOR_RETURN_IF_ERROR(ReadInto(flags->cert, &tls.cert_pem));
    ENVICUTOR_RETURN_IF_ERROR(ReadInto(flags->key, &tls.key_pem));
    ENVICUTOR_RETURN_IF_ERROR(ReadInto(flags->client_ca, &tls.client_ca_pem));
    flags->options.tls = std::move(tls);
  }
  if (!flags->tokens.empty()) {
    ENVICUTOR_ASSIGN(flags->options.tokens, ReadTokenFile(flags->tokens));
  }
  return OkStatus();
}

log::Format LogFormat() { return ::isatty(2) != 0 ? log::Format::kText : log::Format::kJson; }

}  // namespace

int ApiServerCommand(const Arguments& argv) {
  ApiServerFlags values;
  values.options.data_dir = std::string(kDefaultDataDir) + "/apiserver";
  Flags flags(
      "apiserver [flags]",
      "Serves the Kubernetes API from a SQLite file: what kubectl, the operator and the node "
      "need, on one machine.");
  flags.String("data-dir", &values.options.data_dir, "DIR", "where apiserver.db is");
  flags.String("address", &values.options.address, "IP", "where to listen");
  flags.Int("port", &values.port, "the port; 0 for any free one");
  flags.String("tls-cert-file", &values.cert, "FILE", "the server's certificate");
  flags.String("tls-private-key-file", &values.key, "FILE", "and its key");
  flags.String("client-ca-file", &values.client_ca, "FILE", "whose certificates authenticate");
  flags.String("token-auth-file", &values.tokens, "FILE", "lines of token,user,uid,\"groups\"");
  flags.Bool("allow-anonymous", &values.options.allow_anonymous, "serve everybody; for tests only");
  int exit_code = 0;
  if (ParsedToEnd(flags, argv, &exit_code)) return exit_code;
  if (const Status status = Complete(&values); !status.ok()) return Fail(status);
  log::Configure("apiserver", log::Level::kInfo, LogFormat());
  SignalStop stop;
  auto server = StartApiServer(values.options);
  if (!server.ok()) return Fail(server.status());
  log::Info("serving", {{"url", (*server)->url()}});
  stop.Wait();
  (*server)->Stop(std::chrono::seconds(3));
  return 0;
}

int NodeCommand(const Arguments& argv) {
  NodeOptions options;
  options.data_dir = kDefaultDataDir;
  options.bin_dir = BinDir();
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  options.name = host.data();
  Flags flags("node --kubeconfig FILE --name NAME [flags]",
              "Runs executor and builder pods on this machine: a small kubelet for Envicutor's own "
              "programs.");
  flags.String("kubeconfig", &options.kubeconfig, "FILE", "which API server, and who we are");
  flags.String("name", &options.name, "NAME", "the Node's name");
  flags.String("node-mode", &options.mode, "auto|host|uml",
               "where executors run: on the host, or each in a User-Mode-Linux machine");
  flags.String("data-dir", &options.data_dir, "DIR", "state is kept below DIR/node");
  flags.String("namespace", &options.ns, "NS", "whose pods it runs");
  flags.String("system-namespace", &options.system_ns, "NS",
               "run every pod of this namespace too: operator, Jobs");
  flags.String("bin-dir", &options.bin_dir, "DIR",
               "the programs that pods may run, in place of images; envicutor's own folder");
  flags.String("host-path-root", &options.host_path_root, "DIR",
               "hostPath volumes are below DIR: for several nodes on one machine");
  flags.Int("pod-subnet", &options.pod_subnet,
            "N: pods have addresses 127.77.N.*, another N for each node of a machine");
  int exit_code = 0;
  if (ParsedToEnd(flags, argv, &exit_code)) return exit_code;
  if (options.pod_subnet < 0 || options.pod_subnet > 255) {
    return Fail(InvalidArgument("--pod-subnet: " + std::to_string(options.pod_subnet) +
                                " must be from 0 to 255"));
  }
  if (!options.host_path_root.empty() && options.host_path_root.front() != '/') {
    return Fail(
        InvalidArgument("--host-path-root: \"" + options.host_path_root + "\" must be absolute"));
  }
  log::Configure("node", log::Level::kInfo, LogFormat());
  SignalStop stop;
  const Status status = RunNode(options, stop.token());
  if (!status.ok()) log::Error("cannot run", {{"error", status.ToString()}});
  return status.ok() ? 0 : Fail(status);
}

}  // namespace envicutor::standalone
