#include <algorithm>

#include "common/api/bounds.h"
#include "common/api/run.h"
#include "common/api/wire.h"
#include "common/base/encoding.h"

namespace envicutor::api {
namespace {

using wire::ReadArray;
using wire::ReadBoundedInt;
using wire::ReadBoundedString;
using wire::ReadBytes;
using wire::ReadObject;

constexpr int64_t kMaxMemory = int64_t{1} << 60;
constexpr int64_t kMaxUnixMillis = int64_t{1}
                                   << 53;  // what JSON readers of any language keep exact

Status CheckUid(std::string_view uid) {
  const bool plain = std::all_of(uid.begin(), uid.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
  if (uid.empty() || uid.size() > kMaxUidBytes || !plain) {
    return InvalidArgument("field \"uid\" must be 1 to " + std::to_string(kMaxUidBytes) +
                           " letters, digits, '-', '_' or '.'");
  }
  return OkStatus();
}

// Resolved limits have every value: the sandbox reads them without asking.
Status ReadResolvedLimits(const Json& object, std::string_view key, Limits* out) {
  Result<Limits> limits = LimitsFromJson(At(object, {key}));
  if (!limits.ok()) return limits.status().WithContext(key);
  for (size_t i = 0; i < kLimitCount; ++i) {
    const auto limit = static_cast<Limit>(i);
    if (!limits->Get(limit)) {
      return InvalidArgument(std::string(key) + ": " + std::string(LimitName(limit)) +
                             " is missing");
    }
  }
  *out = *limits;
  return OkStatus();
}

Json EnvToJson(const EnvVars& env) {
  Json array = Json::array();
  for (const auto& [name, value] : env) array.push_back({{"name", name}, {"value", value}});
  return array;
}

Status ReadEnv(const Json& object, EnvVars* out) {
  size_t total = 0;
  return ReadArray(object, "env", kMaxEnvVars, [out, &total](const Json& item) -> Status {
    std::string name;
    std::string value;
    ENVICUTOR_RETURN_IF_ERROR(ReadBoundedString(item, "name", kMaxEnvNameBytes, &name));
    ENVICUTOR_RETURN_IF_ERROR(ReadBoundedString(item, "value", kMaxEnvValueBytes, &value));
    ENVICUTOR_RETURN_IF_ERROR(CheckEnvName(name));
    if (value.find('\0') != std::string::npos) {
      return InvalidArgument("the value of variable \"" + name + "\" has a NUL byte");
    }
    total += name.size() + value.size();
    if (total > kMaxArgsTotalBytes) {
      return InvalidArgument("names and values have more than " +
                             std::to_string(kMaxArgsTotalBytes) + " bytes together");
    }
    out->emplace_back(std::move(name), std::move(value));
    return OkStatus();
  });
}

Status ReadScript(const Json& object, std::string* out) {
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedString(object, "script", kMaxScriptBytes, out));
  if (out->empty()) return InvalidArgument("field \"script\" must not be empty");
  if (out->find('\0') != std::string::npos)
    return InvalidArgument("field \"script\" has a NUL byte");
  return OkStatus();
}

Status ReadArgs(const Json& object, std::vector<std::string>* out) {
  size_t total = 0;
  return ReadArray(object, "args", kMaxArgs, [&](const Json& item) -> Status {
    if (!item.is_string()) return InvalidArgument("must be a string");
    auto arg = item.get<std::string>();
    total += arg.size();
    if (arg.size() > kMaxArgBytes) {
      return InvalidArgument("has " + std::to_string(arg.size()) + " bytes, more than " +
                             std::to_string(kMaxArgBytes));
    }
    if (total > kMaxArgsTotalBytes) {
      return InvalidArgument("arguments have more than " + std::to_string(kMaxArgsTotalBytes) +
                             " bytes together");
    }
    if (arg.find('\0') != std::string::npos) return InvalidArgument("an argument has a NUL byte");
    out->push_back(std::move(arg));
    return OkStatus();
  });
}

Status ReadFileEntry(const Json& item, RunFile* file) {
  ENVICUTOR_RETURN_IF_ERROR(ReadString(item, "path", &file->path));
  ENVICUTOR_RETURN_IF_ERROR(CheckBoxPath(file->path));
  ENVICUTOR_RETURN_IF_ERROR(ReadBytes(item, "content", "encoding", &file->content));
  return ReadBool(item, "executable", &file->executable);
}

Status ReadCompileStage(const Json& object, CompileStage* compile) {
  ENVICUTOR_RETURN_IF_ERROR(ReadScript(object, &compile->script));
  ENVICUTOR_RETURN_IF_ERROR(ReadEnv(object, &compile->env));
  return ReadResolvedLimits(object, "limits", &compile->limits);
}

Json RunStageToJson(const RunStage& run) {
  Json object = {{"script", run.script},
                 {"args", run.args},
                 {"env", EnvToJson(run.env)},
                 {"limits", LimitsToJson(run.limits)},
                 {"mergeStderr", run.merge_stderr}};
  wire::PutBytes(object, "stdin", "stdinEncoding", run.stdin_data);
  return object;
}

Status ReadRunStage(const Json& object, RunStage* run) {
  ENVICUTOR_RETURN_IF_ERROR(ReadScript(object, &run->script));
  ENVICUTOR_RETURN_IF_ERROR(ReadArgs(object, &run->args));
  ENVICUTOR_RETURN_IF_ERROR(ReadBytes(object, "stdin", "stdinEncoding", &run->stdin_data));
  ENVICUTOR_RETURN_IF_ERROR(ReadEnv(object, &run->env));
  ENVICUTOR_RETURN_IF_ERROR(ReadResolvedLimits(object, "limits", &run->limits));
  return ReadBool(object, "mergeStderr", &run->merge_stderr);
}

Json TestToJson(const TestCase& test) {
  Json object = {{"name", test.name},
                 {"args", test.args},
                 {"exact", test.exact},
                 {"limits", LimitsToJson(test.limits)}};
  wire::PutBytes(object, "stdin", "stdinEncoding", test.stdin_data);
  if (test.expected_stdout) {
    wire::PutBytes(object, "expectedStdout", "expectedStdoutEncoding", *test.expected_stdout);
  }
  return object;
}

Status ReadTest(const Json& item, TestCase* test) {
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedString(item, "name", kMaxNameBytes, &test->name));
  ENVICUTOR_RETURN_IF_ERROR(ReadBytes(item, "stdin", "stdinEncoding", &test->stdin_data));
  ENVICUTOR_RETURN_IF_ERROR(ReadArgs(item, &test->args));
  if (!At(item, {"expectedStdout"}).is_null()) {
    std::string expected;
    ENVICUTOR_RETURN_IF_ERROR(
        ReadBytes(item, "expectedStdout", "expectedStdoutEncoding", &expected));
    test->expected_stdout = std::move(expected);
  }
  ENVICUTOR_RETURN_IF_ERROR(ReadBool(item, "exact", &test->exact));
  return ReadResolvedLimits(item, "limits", &test->limits);
}

Status ReadIdentity(const Json& object, RunRequest* request) {
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "uid", &request->uid));
  ENVICUTOR_RETURN_IF_ERROR(CheckUid(request->uid));
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedInt(object, "attempt", 1, kMaxAttempt, &request->attempt));
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedString(object, "namespace", kMaxNameBytes, &request->ns));
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedString(object, "name", kMaxNameBytes, &request->name));
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedString(object, "runtime", kMaxNameBytes, &request->runtime));
  ENVICUTOR_RETURN_IF_ERROR(
      ReadBoundedString(object, "environmentHash", kMaxUidBytes, &request->environment_hash));
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedString(object, "environmentStorePath", kMaxPathBytes,
                                              &request->environment_store_path));
  ENVICUTOR_RETURN_IF_ERROR(
      ReadBoundedString(object, "environmentNode", kMaxNameBytes, &request->environment_node));
  const std::string& hash = request->environment_hash;
  // It becomes part of a path in the store.
  if (hash.empty() || hash.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return InvalidArgument("field \"environmentHash\" must be lower-case hex digits");
  }
  return OkStatus();
}

Status ReadStages(const Json& object, RunRequest* request) {
  ENVICUTOR_RETURN_IF_ERROR(ReadArray(object, "files", kMaxFiles, [&](const Json& item) {
    return ReadFileEntry(item, &request->files.emplace_back());
  }));
  std::string archive;
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "archive", &archive));
  if (!archive.empty()) {
    Result<std::string> bytes = Base64Decode(archive);
    if (!bytes.ok()) return bytes.status().WithContext("archive");
    request->archive = *std::move(bytes);
    ENVICUTOR_RETURN_IF_ERROR(
        ReadResolvedLimits(object, "extractLimits", &request->extract_limits));
  }
  ENVICUTOR_RETURN_IF_ERROR(ReadObject(object, "compile", [&](const Json& stage) {
    return ReadCompileStage(stage, &request->compile.emplace());
  }));
  if (!At(object, {"run"}).is_object()) return InvalidArgument("field \"run\" must be an object");
  ENVICUTOR_RETURN_IF_ERROR(ReadObject(
      object, "run", [&](const Json& stage) { return ReadRunStage(stage, &request->run); }));
  ENVICUTOR_RETURN_IF_ERROR(ReadArray(object, "tests", kMaxTests, [&](const Json& item) {
    return ReadTest(item, &request->tests.emplace_back());
  }));
  return ReadArray(object, "outputFiles", kMaxOutputFiles, [&](const Json& item) -> Status {
    if (!item.is_string()) return InvalidArgument("must be a string");
    const auto& path = request->output_files.emplace_back(item.get<std::string>());
    return CheckBoxPath(path);
  });
}

}  // namespace

Status CheckEnvName(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  const bool valid = !name.empty() && name.size() <= kMaxEnvNameBytes && letter(name.front()) &&
                     std::all_of(name.begin(), name.end(),
                                 [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
  if (valid && (name == "HOME" || name == "PWD" || name.starts_with("ENVICUTOR_"))) {
    return InvalidArgument("variable \"" + std::string(name) + "\" is set by the system");
  }
  if (valid) return OkStatus();
  return InvalidArgument("\"" + std::string(name.substr(0, 64)) +
                         "\" is not a variable name: letters, digits and '_', no digit first");
}

Json RunRequestToJson(const RunRequest& request) {
  Json object = {{"uid", request.uid},
                 {"attempt", request.attempt},
                 {"namespace", request.ns},
                 {"name", request.name},
                 {"runtime", request.runtime},
                 {"environmentHash", request.environment_hash},
                 {"environmentStorePath", request.environment_store_path},
                 {"environmentNode", request.environment_node},
                 {"run", RunStageToJson(request.run)},
                 {"stopOnFirstFailure", request.stop_on_first_failure},
                 {"outputFiles", request.output_files},
                 {"memoryBytes", request.memory_bytes},
                 {"deadlineUnixMillis", request.deadline_unix_millis}};
  Json& files = object["files"] = Json::array();
  for (const RunFile& file : request.files) {
    Json entry = {{"path", file.path}, {"executable", file.executable}};
    wire::PutBytes(entry, "content", "encoding", file.content);
    files.push_back(std::move(entry));
  }
  if (!request.archive.empty()) {
    object["archive"] = Base64Encode(request.archive);
    object["extractLimits"] = LimitsToJson(request.extract_limits);
  }
  if (request.compile) {
    object["compile"] = {{"script", request.compile->script},
                         {"env", EnvToJson(request.compile->env)},
                         {"limits", LimitsToJson(request.compile->limits)}};
  }
  Json& tests = object["tests"] = Json::array();
  for (const TestCase& test : request.tests) tests.push_back(TestToJson(test));
  return object;
}

Result<RunRequest> RunRequestFromJson(const Json& object) {
  if (!object.is_object()) return InvalidArgument("a run request must be an object");
  RunRequest request;
  ENVICUTOR_RETURN_IF_ERROR(ReadIdentity(object, &request));
  ENVICUTOR_RETURN_IF_ERROR(ReadStages(object, &request));
  ENVICUTOR_RETURN_IF_ERROR(ReadBool(object, "stopOnFirstFailure", &request.stop_on_first_failure));
  ENVICUTOR_RETURN_IF_ERROR(
      ReadBoundedInt(object, "memoryBytes", 0, kMaxMemory, &request.memory_bytes));
  ENVICUTOR_RETURN_IF_ERROR(ReadBoundedInt(object, "deadlineUnixMillis", 0, kMaxUnixMillis,
                                           &request.deadline_unix_millis));
  return request;
}

}  // namespace envicutor::api
