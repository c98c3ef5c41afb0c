// The mount namespace of a session and where things are in it.
#pragma once

#include <sys/types.h>

#include <string>

#include "common/base/status.h"
#include "executor-agent/builder/session.h"

namespace envicutor::agent {

inline constexpr uid_t kEvaluatorUid = 63999;
inline constexpr gid_t kBuildGid = 64000;
inline constexpr uid_t kFirstBuildUid = 64001;
inline constexpr int kBuildUsers = 16;

inline constexpr char kSessionRoot[] = "/mnt/root";  // the chroot store
inline constexpr char kSessionSocket[] = "/mnt/run/socket";
inline constexpr char kSessionHome[] = "/mnt/home";
inline constexpr char kSessionBuildDir[] = "/mnt/build";
// Publishing sessions: the cache's folder, the key, the credentials.
inline constexpr char kSessionCache[] = "/mnt/cache";
inline constexpr char kSessionKey[] = "/mnt/etc/cache-key";
inline constexpr char kSessionNetrc[] = "/mnt/etc/netrc";

// In a new mount namespace. Makes everything below /mnt, hides the host's passwd and group files.
[[nodiscard]] Status EnterSessionMounts(const SessionSpec& spec);

}  // namespace envicutor::agent
