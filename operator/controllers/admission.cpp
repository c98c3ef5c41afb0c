#include "operator/controllers/admission.h"

#include <algorithm>
#include <set>

#include "common/api/bounds.h"
#include "common/api/trace.h"
#include "common/base/encoding.h"
#include "common/kube/resource.h"

namespace envicutor::op {
namespace {

// What a request carries as base64 in a body of kMaxRequestBytes, less its other parts.
constexpr size_t kMaxInputBytes = 11U << 20U;

class Builder {
 public:
  Builder(const AdmissionInput& input, const Options& options)
      : input_(input), options_(options), spec_(At(*input.submission, {"spec"})) {}

  Admission Build() {
    api::RunRequest& request = out_.request;
    request.uid = kube::UidOf(*input_.submission);
    request.attempt = input_.attempt;
    request.ns = kube::NamespaceOf(*input_.submission);
    request.name = kube::NameOf(*input_.submission);
    request.trace_id = api::TraceIdFor(
        GetString(At(*input_.submission, {"metadata", "annotations"}), api::kTraceAnnotation),
        request.uid);
    request.runtime = input_.runtime_name;
    request.environment_hash = input_.environment_hash;
    request.environment_store_path = input_.environment_store_path;
    request.environment_node = input_.environment_node;
    Files();
    Archive();
    Compile();
    Run();
    Tests();
    for (const Json& path : Array(spec_, "outputFiles")) {
      if (!path.is_string()) continue;
      Path("outputFiles", path.get<std::string>());
      request.output_files.push_back(path.get<std::string>());
    }
    request.stop_on_first_failure = GetBool(spec_, "stopOnFirstFailure");
    Memory();
    if (input_.deadline.has_value()) {
      request.deadline_unix_millis =
          std::chrono::duration_cast<std::chrono::milliseconds>(input_.deadline->time_since_epoch())
              .count();
    }
    if (bytes_ > kMaxInputBytes) {
      Error("spec: source, files, archive and inputs hold " + std::to_string(bytes_) +
            " bytes in all, more than the maximum " + std::to_string(kMaxInputBytes));
    }
    return std::move(out_);
  }

 private:
  void Error(std::string text) { out_.errors.push_back(std::move(text)); }

  static const Json& Array(const Json& object, std::string_view key) {
    static const Json empty = Json::array();
    const Json& value = At(object, {key});
    return value.is_array() ? value : empty;
  }
  static std::string Item(std::string_view list, size_t index) {
    return std::string(list) + "[" + std::to_string(index) + "]";
  }
  [[nodiscard]] const Json& Runtime(std::initializer_list<std::string_view> path) const {
    static const Json null;
    return input_.runtime_spec == nullptr ? null : At(*input_.runtime_spec, path);
  }

  void Path(const std::string& where, const std::string& path) {
    const Status status = api::CheckBoxPath(path);
    if (!status.ok()) Error(where + ": " + status.message());
  }

  void NoNul(const std::string& where, std::string_view text) {
    if (text.find('\0') != std::string_view::npos) Error(where + ": contains a NUL character");
  }

  std::string FromConfigMap(const std::string& where, const Json& from) {
    const Json& ref = At(from, {"configMapKeyRef"});
    const std::string name = GetString(ref, "name");
    const std::string key = GetString(ref, "key");
    if (!input_.read) {
      Error(where + ": ConfigMaps cannot be read");
      return "";
    }
    Result<std::string> content = input_.read(name, key);
    if (content.ok()) {
      bytes_ += content->size();
      return std::move(content).value();
    }
    if (content.status().code() == Code::kNotFound) {
      out_.missing.push_back(where + ": " + content.status().message());
    } else {
      out_.unavailable = content.status().WithContext(where);
    }
    return "";
  }

  void AddFile(const std::string& where, std::string path, std::string content, bool executable) {
    Path(where, path);
    if (!paths_.insert(path).second) Error(where + ": \"" + path + "\" is there twice");
    out_.request.files.push_back({std::move(path), std::move(content), executable});
  }

  void Files() {
    if (At(spec_, {"source"}).is_string()) {
      const std::string source_file = GetString(Runtime({}), "sourceFile");
      if (source_file.empty()) {
        Error("source: runtime " + input_.runtime_name + " has no sourceFile; use files");
      } else {
        std::string source = GetString(spec_, "source");
        bytes_ += source.size();
        AddFile("source", source_file, std::move(source), false);
      }
    }
    const Json& files = Array(spec_, "files");
    if (files.size() > api::kMaxFiles) {
      Error("files: " + std::to_string(files.size()) + " are more than the maximum " +
            std::to_string(api::kMaxFiles));
      return;
    }
    for (size_t i = 0; i < files.size(); ++i) {
      const Json& file = files[i];
      const std::string where = Item("files", i);
      std::string content;
      if (At(file, {"contentFrom"}).is_object()) {
        content = FromConfigMap(where + ".contentFrom", At(file, {"contentFrom"}));
      } else {
        content = GetString(file, "content");
        if (GetString(file, "encoding") == "base64") content = Decode(where + ".content", content);
        bytes_ += content.size();
      }
      AddFile(where + ".path", GetString(file, "path"), std::move(content),
              GetBool(file, "executable"));
    }
    // "a" and "a/b": a file cannot be a folder too.
    for (const std::string& path : paths_) {
      for (size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1)) {
        const std::string folder = path.substr(0, at);
        if (paths_.count(folder) != 0) {
          Error("files: \"" + folder + "\" is a file, and a folder in \"" + path + "\"");
        }
      }
    }
  }

  std::string Decode(const std::string& where, const std::string& text) {
    Result<std::string> bytes = Base64Decode(text);
    if (bytes.ok()) return std::move(bytes).value();
    Error(where + ": " + bytes.status().message());
    return "";
  }

  void Archive() {
    const Json& archive = At(spec_, {"archive"});
    if (!archive.is_object()) return;
    std::string bytes = Decode("archive.content", GetString(archive, "content"));
    bytes_ += bytes.size();
    const bool zip = bytes.rfind("PK\x03\x04", 0) == 0 || bytes.rfind("PK\x05\x06", 0) == 0;
    const bool gzip = bytes.rfind("\x1f\x8b", 0) == 0;
    if (!zip && !gzip && out_.errors.empty()) {
      Error("archive.content: is neither a .zip nor a .tar.gz file");
    }
    out_.request.archive = std::move(bytes);
    const StageLimitOptions& system = options_.extract_limits;
    out_.request.extract_limits =
        api::ResolveLimits({system.defaults}, {system.maxima}, "archive.limits", &out_.errors);
  }

  // The runtime's variables, then the stage's own, which win.
  api::EnvVars Env(const Json& stage, const std::string& where) {
    api::EnvVars env;
    const auto add = [&](const Json& list, const std::string& path) {
      for (size_t i = 0; i < list.size(); ++i) {
        const std::string name = GetString(list[i], "name");
        const std::string value = GetString(list[i], "value");
        if (name.empty() || name.find('=') != std::string::npos) {
          Error(Item(path, i) + ".name: \"" + name + "\" cannot be a variable's name");
        }
        NoNul(Item(path, i), name + value);
        const auto same =
            std::find_if(env.begin(), env.end(), [&](const auto& v) { return v.first == name; });
        if (same != env.end()) {
          same->second = value;
        } else {
          env.emplace_back(name, value);
        }
      }
    };
    add(Array(Runtime({}), "env"), "runtime.env");
    add(Array(stage, "env"), where + ".env");
    if (env.size() > api::kMaxEnvVars) {
      Error(where + ".env: " + std::to_string(env.size()) +
            " variables are more than the maximum " + std::to_string(api::kMaxEnvVars));
    }
    return env;
  }

  std::vector<std::string> Args(const Json& owner, const std::string& where) {
    std::vector<std::string> args;
    size_t total = 0;
    const Json& list = Array(owner, "args");
    for (size_t i = 0; i < list.size(); ++i) {
      if (!list[i].is_string()) continue;
      args.push_back(list[i].get<std::string>());
      total += args.back().size();
      NoNul(Item(where + ".args", i), args.back());
    }
    if (total > api::kMaxArgsTotalBytes) {
      Error(where + ".args: " + std::to_string(total) + " bytes in all are more than the maximum " +
            std::to_string(api::kMaxArgsTotalBytes));
    }
    return args;
  }

  std::string Script(const Json& stage, std::string_view name) {
    std::string script = GetString(stage, "script");
    if (script.empty()) script = GetString(Runtime({name}), "script");
    NoNul(std::string(name) + ".script", script);
    return script;
  }

  std::vector<api::Limits> Maxima(std::string_view stage, const StageLimitOptions& system) {
    std::vector<std::string> ignored;  // the Runtime controller reports the runtime's own mistakes
    return {api::ParseLimits(Runtime({stage, "maxLimits"}), "maxLimits", &ignored), system.maxima};
  }

  api::Limits StageLimits(const Json& stage, std::string_view name,
                          const StageLimitOptions& system) {
    std::vector<std::string> ignored;
    const std::string path = std::string(name) + ".limits";
    const api::Limits own = api::ParseLimits(At(stage, {"limits"}), path, &out_.errors);
    const api::Limits runtime = api::ParseLimits(Runtime({name, "limits"}), path, &ignored);
    return api::ResolveLimits({own, runtime, system.defaults}, Maxima(name, system), path,
                              &out_.errors);
  }

  void Compile() {
    const Json& stage = At(spec_, {"compile"});
    std::string script = Script(stage, "compile");
    if (script.empty()) return;
    api::CompileStage compile;
    compile.script = std::move(script);
    compile.env = Env(stage, "compile");
    compile.limits = StageLimits(stage, "compile", options_.compile_limits);
    out_.request.compile = std::move(compile);
  }

  void Run() {
    const Json& stage = At(spec_, {"run"});
    api::RunStage& run = out_.request.run;
    run.script = Script(stage, "run");
    if (run.script.empty()) Error("run.script: is required with environment");
    run.args = Args(stage, "run");
    run.stdin_data = Text(stage, "stdin", "stdinFrom", "run");
    run.env = Env(stage, "run");
    run.limits = StageLimits(stage, "run", options_.run_limits);
    run.merge_stderr = GetBool(stage, "mergeStderr");
  }

  std::string Text(const Json& owner, std::string_view inline_key, std::string_view from_key,
                   const std::string& where) {
    if (At(owner, {from_key}).is_object()) {
      return FromConfigMap(where + "." + std::string(from_key), At(owner, {from_key}));
    }
    std::string text = GetString(owner, inline_key);
    bytes_ += text.size();
    return text;
  }

  static bool Has(const Json& owner, std::string_view a, std::string_view b) {
    return !At(owner, {a}).is_null() || !At(owner, {b}).is_null();
  }

  void Tests() {
    const Json& tests = Array(spec_, "tests");
    if (tests.size() > api::kMaxTests) {
      Error("tests: " + std::to_string(tests.size()) + " are more than the maximum " +
            std::to_string(api::kMaxTests));
      return;
    }
    const api::RunStage& run = out_.request.run;
    const std::vector<api::Limits> maxima = Maxima("run", options_.run_limits);
    for (size_t i = 0; i < tests.size(); ++i) {
      const Json& json = tests[i];
      const std::string where = Item("tests", i);
      api::TestCase test;
      test.name = GetString(json, "name");
      if (test.name.empty()) test.name = std::to_string(i + 1);
      test.stdin_data = Has(json, "stdin", "stdinFrom") ? Text(json, "stdin", "stdinFrom", where)
                                                        : run.stdin_data;
      test.args = At(json, {"args"}).is_array() ? Args(json, where) : run.args;
      if (Has(json, "expectedStdout", "expectedStdoutFrom")) {
        test.expected_stdout = Text(json, "expectedStdout", "expectedStdoutFrom", where);
      }
      test.exact = GetString(json, "comparison") == "exact";
      const std::string path = where + ".limits";
      const api::Limits own = api::ParseLimits(At(json, {"limits"}), path, &out_.errors);
      test.limits = api::ResolveLimits({own, run.limits}, maxima, path, &out_.errors);
      out_.request.tests.push_back(std::move(test));
    }
  }

  void Memory() {
    int64_t most = 0;
    const auto consider = [&](const api::Limits& limits) {
      most = std::max(most, limits.Get(api::Limit::kMemory).value_or(0));
    };
    const api::RunRequest& request = out_.request;
    if (!request.archive.empty()) consider(request.extract_limits);
    if (request.compile.has_value()) consider(request.compile->limits);
    if (request.tests.empty()) consider(request.run.limits);
    for (const api::TestCase& test : request.tests) consider(test.limits);
    out_.request.memory_bytes = most;
  }

  const AdmissionInput& input_;
  const Options& options_;
  const Json& spec_;
  Admission out_;
  std::set<std::string> paths_;
  size_t bytes_ = 0;
};

}  // namespace

Admission Admit(const AdmissionInput& input, const Options& options) {
  return Builder(input, options).Build();
}

std::optional<api::EnvironmentSpec> EnvironmentOf(const Json& submission, const Json* runtime_spec,
                                                  const Options& options,
                                                  std::vector<std::string>* errors) {
  const Json& spec = At(submission, {"spec"});
  const Json& own = At(spec, {"environment"});
  const Json& extra = At(spec, {"extraPackages"});
  const bool has_extra = extra.is_array() && !extra.empty();
  if (!own.is_object() && !has_extra) return std::nullopt;
  const AllowEnvironments allowed = options.submissions.allow_environments;
  if (allowed == AllowEnvironments::kNone) {
    errors->push_back(std::string(own.is_object() ? "environment" : "extraPackages") +
                      ": the administrator allows runtimes only");
    return std::nullopt;
  }
  if (own.is_object() && allowed == AllowEnvironments::kPackages &&
      !GetString(own, "shell").empty()) {
    errors->emplace_back("environment.shell: the administrator allows packages only");
    return std::nullopt;
  }
  static const Json null;
  const Json& base =
      own.is_object() ? own : (runtime_spec ? At(*runtime_spec, {"environment"}) : null);
  Result<api::EnvironmentSpec> parsed = api::EnvironmentSpecFromJson(base, "environment");
  if (!parsed.ok()) {
    errors->push_back(parsed.status().message());
    return std::nullopt;
  }
  if (has_extra) {
    for (const Json& package : extra) {
      if (package.is_string()) parsed->extra_packages.push_back(package.get<std::string>());
    }
  }
  // A Runtime may ask for more: its author is who set the bounds.
  if (own.is_object() && parsed->build_timeout_millis > options.builder.timeout_millis) {
    errors->push_back(
        "environment.buildTimeout: " + api::FormatDurationMillis(parsed->build_timeout_millis) +
        " is more than the maximum " + api::FormatDurationMillis(options.builder.timeout_millis));
  }
  if (own.is_object() && parsed->build_memory_bytes > options.builder.memory_bytes) {
    errors->push_back(
        "environment.buildMemory: " + api::FormatQuantity(parsed->build_memory_bytes) +
        " is more than the maximum " + api::FormatQuantity(options.builder.memory_bytes));
  }
  if (own.is_object() && !GetBool(own, "cache", true)) parsed->salt = kube::UidOf(submission);
  return std::move(parsed).value();
}

}  // namespace envicutor::op
