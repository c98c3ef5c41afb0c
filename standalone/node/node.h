// `envicutor node`: a small kubelet for executor and builder pods.
#pragma once

#include <stop_token>
#include <string>

#include "common/base/status.h"

namespace envicutor::standalone {

struct NodeOptions {
  std::string kubeconfig;
  std::string name;
  std::string mode = "auto";                    // auto, host, uml
  std::string data_dir = "/var/lib/envicutor";  // state is below data_dir/node
  std::string bin_dir;                          // envicutor's binaries, the only "image"
  std::string ns = "envicutor-executors";       // whose executor and builder pods it runs
  // Several nodes on one machine, for tests: hostPath volumes below a folder of each one's own, and
  // pods' addresses 127.77.pod_subnet.N.
  std::string host_path_root;
  int64_t pod_subnet = 0;
  std::string
      system_ns;  // "": none; every pod of this namespace too, for a cluster without kubelets
};

// Blocks until `stop` is requested: then containers are ended in grace, and nothing is left but
// files below data_dir. FailedPrecondition: the host cannot run pods this way.
[[nodiscard]] Status RunNode(const NodeOptions& options, std::stop_token stop);

}  // namespace envicutor::standalone
