#include "standalone/node/volumes.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>

#include "common/base/file.h"

namespace envicutor::standalone {
namespace {

constexpr unsigned kPrivateDir = 0755;

bool LeavesFolder(const std::string& path) {
  return path.empty() || path[0] == '/' || path == ".." || path.rfind("../", 0) == 0 ||
         path.find("/..") != std::string::npos;
}

Status WriteEntry(const std::string& dir, const std::string& path, const std::string& content,
                  int64_t mode) {
  if (LeavesFolder(path)) return InvalidArgument("volume item \"" + path + "\" leaves the volume");
  const std::filesystem::path file = std::filesystem::path(dir) / path;
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(file.parent_path().string(), kPrivateDir));
  return WriteFileAtomic(file.string(), content, static_cast<unsigned>(mode) & 0777U);
}

Status WriteFields(const VolumeSpec& volume, const std::string& dir, const DataLookup& lookup) {
  for (const VolumeItem& item : volume.items) {
    ENVICUTOR_ASSIGN(auto field, lookup(volume.kind, item.key));
    ENVICUTOR_RETURN_IF_ERROR(WriteEntry(dir, item.path, field["value"],
                                         item.mode != 0 ? item.mode : volume.default_mode));
  }
  return OkStatus();
}

Status WriteData(const VolumeSpec& volume, const std::string& dir, const DataLookup& lookup) {
  if (volume.kind == VolumeSpec::Kind::kFields) return WriteFields(volume, dir, lookup);
  const auto data = lookup(volume.kind, volume.source);
  if (!data.ok()) {
    if (volume.optional && data.status().code() == Code::kNotFound) return OkStatus();
    return data.status().WithContext("volume \"" + volume.name + "\"");
  }
  if (volume.items.empty()) {
    for (const auto& [key, content] : *data) {
      ENVICUTOR_RETURN_IF_ERROR(WriteEntry(dir, key, content, volume.default_mode));
    }
    return OkStatus();
  }
  for (const VolumeItem& item : volume.items) {
    const auto it = data->find(item.key);
    if (it == data->end()) {
      if (volume.optional) continue;
      return NotFound("volume \"" + volume.name + "\": there is no key \"" + item.key + "\" in \"" +
                      volume.source + "\"");
    }
    ENVICUTOR_RETURN_IF_ERROR(
        WriteEntry(dir, item.path, it->second, item.mode != 0 ? item.mode : volume.default_mode));
  }
  return OkStatus();
}

Status WriteVolume(const VolumeSpec& volume, const std::string& dir, const DataLookup& lookup) {
  std::error_code ignored;
  std::filesystem::remove_all(dir, ignored);
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(dir, kPrivateDir));
  if (volume.kind != VolumeSpec::Kind::kProjected) return WriteData(volume, dir, lookup);
  for (const VolumeSpec& source : volume.sources) {
    ENVICUTOR_RETURN_IF_ERROR(WriteData(source, dir, lookup));
  }
  return OkStatus();
}

Status PrepareHostPath(const VolumeSpec& volume) {
  struct stat info {};
  const bool exists = ::stat(volume.source.c_str(), &info) == 0;
  if (volume.host_path_type == "DirectoryOrCreate") return MakeDirs(volume.source);
  if (!exists && volume.host_path_type.empty()) return MakeDirs(volume.source);
  if (!exists) return NotFound("hostPath " + volume.source + " does not exist on the node");
  if (volume.host_path_type == "Directory" && !S_ISDIR(info.st_mode)) {
    return FailedPrecondition("hostPath " + volume.source + " is not a folder");
  }
  if (volume.host_path_type == "File" && !S_ISREG(info.st_mode)) {
    return FailedPrecondition("hostPath " + volume.source + " is not a file");
  }
  return OkStatus();
}

Result<std::string> Prepare(const VolumeSpec& volume, const std::string& base,
                            const DataLookup& lookup) {
  const std::string dir = base + "/" + volume.name;
  switch (volume.kind) {
    case VolumeSpec::Kind::kHostPath:
      ENVICUTOR_RETURN_IF_ERROR(PrepareHostPath(volume));
      return volume.source;
    case VolumeSpec::Kind::kSecret:
    case VolumeSpec::Kind::kConfigMap:
    case VolumeSpec::Kind::kProjected:
      ENVICUTOR_RETURN_IF_ERROR(WriteVolume(volume, dir, lookup));
      return dir;
    case VolumeSpec::Kind::kToken:
    case VolumeSpec::Kind::kFields:
      break;  // never a volume of its own
    case VolumeSpec::Kind::kEmptyDir:
      ENVICUTOR_RETURN_IF_ERROR(MakeDirs(dir));
      ::chmod(dir.c_str(), 0777);
      return dir;
  }
  return Internal("a volume of no kind");
}

}  // namespace

Result<std::vector<PodMount>> PrepareVolumes(const PodSpec& pod, const std::string& pod_dir,
                                             const DataLookup& lookup) {
  const std::string base = pod_dir + "/volumes";
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(base, 0700));
  std::map<std::string, const VolumeSpec*> by_name;
  for (const VolumeSpec& volume : pod.volumes) by_name[volume.name] = &volume;
  std::map<std::string, std::string> sources;
  std::vector<PodMount> mounts;
  for (const VolumeMountSpec& wanted : pod.mounts) {
    const VolumeSpec& volume = *by_name.at(wanted.volume);
    const bool data = volume.kind == VolumeSpec::Kind::kSecret ||
                      volume.kind == VolumeSpec::Kind::kConfigMap ||
                      volume.kind == VolumeSpec::Kind::kProjected;
    if (volume.kind == VolumeSpec::Kind::kEmptyDir && volume.in_memory) {
      mounts.push_back(
          {.source = "", .target = wanted.path, .tmpfs = true, .tmpfs_bytes = volume.size_bytes});
      continue;
    }
    if (!sources.contains(wanted.volume)) {
      ENVICUTOR_ASSIGN(sources[wanted.volume], Prepare(volume, base, lookup));
    }
    std::string source = sources[wanted.volume];
    if (!wanted.sub_path.empty()) {
      source += "/" + wanted.sub_path;
      if (!data) ENVICUTOR_RETURN_IF_ERROR(MakeDirs(source));
    }
    mounts.push_back(
        {.source = source, .target = wanted.path, .read_only = wanted.read_only || data});
  }
  std::stable_sort(mounts.begin(), mounts.end(), [](const PodMount& a, const PodMount& b) {
    return std::count(a.target.begin(), a.target.end(), '/') <
           std::count(b.target.begin(), b.target.end(), '/');
  });
  return mounts;
}

}  // namespace envicutor::standalone
