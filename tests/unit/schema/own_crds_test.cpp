// The rules of crds/, through our own implementation of what a kube-apiserver does with them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "support.h"

namespace envicutor::standalone::schema {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kImmutable =
    "Forbidden: spec is immutable, except cancel; create another Submission instead";

class OwnCrd : public ::testing::Test {
 protected:
  static std::vector<std::string> CheckWith(const std::string& crd, const Json& object,
                                            const Json* old = nullptr) {
    static std::map<std::string, std::shared_ptr<const CompiledCrd>> cache;
    auto& compiled = cache[crd];
    if (compiled == nullptr) compiled = Compiled(LoadCrd(crd));
    if (compiled == nullptr) return {"the CRD does not compile"};
    const Schema& schema = *compiled->versions.front().schema;
    EXPECT_THAT(schema.UnknownFields(object), IsEmpty());
    if (old == nullptr) return Check(schema, object);
    Json before = *old;
    schema.Default(&before);
    return Check(schema, object, &before);
  }
};

class SubmissionCrd : public OwnCrd {
 protected:
  static std::vector<std::string> Submit(const std::string& spec) {
    return CheckWith("submissions", {{"spec", FromYaml(spec)}});
  }
  // Whether an update from one spec to the other is refused, and how.
  static std::vector<std::string> Change(const std::string& from, const std::string& to) {
    const Json old = {{"spec", FromYaml(from)}};
    return CheckWith("submissions", {{"spec", FromYaml(to)}}, &old);
  }
  static std::vector<std::string> ChangeStatus(const std::string& from, const std::string& to) {
    const Json spec = FromYaml("{runtimeRef: {name: c}, source: x}");
    const Json old = {{"spec", spec}, {"status", FromYaml(from)}};
    Json now = {{"spec", spec}};
    if (!to.empty()) now["status"] = FromYaml(to);
    return CheckWith("submissions", now, &old);
  }
};

TEST_F(SubmissionCrd, ExactlyOneOfRuntimeAndEnvironment) {
  EXPECT_THAT(Submit("{runtimeRef: {name: python3}, source: x}"), IsEmpty());
  EXPECT_THAT(Submit("{environment: {packages: [bash]}, run: {script: 'true'}}"), IsEmpty());
  EXPECT_THAT(Submit("{}"),
              Contains("spec: Invalid value: \"object\": exactly one of runtimeRef and "
                       "environment must be set"));
  EXPECT_THAT(Submit("{runtimeRef: {name: c}, environment: {packages: [bash]}, run: {script: x}}"),
              ElementsAre(HasSubstr("exactly one of runtimeRef and environment")));
  EXPECT_THAT(Submit("{environment: {packages: [bash]}}"),
              ElementsAre("spec.run.script: Required value: run.script is required with "
                          "environment"));
  EXPECT_THAT(Submit("{environment: {packages: [bash], shell: x}, run: {script: x}}"),
              ElementsAre("spec.environment: Invalid value: \"object\": exactly one of shell and "
                          "packages must be set"));
  EXPECT_THAT(Submit("{environment: {}, run: {script: x}}"),
              ElementsAre(HasSubstr("exactly one of shell and packages")));
  EXPECT_THAT(
      Submit("{environment: {packages: [bash]}, extraPackages: [python3], run: {script: x}}"),
      ElementsAre(HasSubstr("spec.extraPackages: Forbidden: extraPackages goes with runtimeRef")));
  EXPECT_THAT(Submit("{environment: {packages: [bash]}, source: x, run: {script: x}}"),
              ElementsAre(HasSubstr("spec.source: Forbidden: source goes with runtimeRef")));
  EXPECT_THAT(Submit("{runtimeRef: {name: c}, extraPackages: [python3Packages.numpy]}"), IsEmpty());
}

TEST_F(SubmissionCrd, PathsStayInTheBox) {
  for (const char* path : {"main.c", "src/main.c", ".hidden", "a..b", "..a/b", "dir.d/x", "a b"}) {
    EXPECT_THAT(Submit("{runtimeRef: {name: c}, files: [{path: '" + std::string(path) +
                       "', content: x}], outputFiles: ['" + path + "']}"),
                IsEmpty())
        << path;
  }
  for (const char* path :
       {"/etc/passwd", "../x", "a/../b", "a/..", "..", ".", "./a", "a//b", "a/"}) {
    const auto errors = Submit("{runtimeRef: {name: c}, files: [{path: '" + std::string(path) +
                               "', content: x}], outputFiles: ['" + path + "']}");
    EXPECT_THAT(errors,
                Contains(HasSubstr("spec.files[0].path: Invalid value: \"string\": must be a "
                                   "path inside the box")))
        << path;
    EXPECT_THAT(errors, Contains(HasSubstr("spec.outputFiles[0]: "))) << path;
  }
}

TEST_F(SubmissionCrd, OneSourceOfEachInput) {
  EXPECT_THAT(Submit("{runtimeRef: {name: c}, files: [{path: a}]}"),
              ElementsAre("spec.files[0]: Invalid value: \"object\": exactly one of content and "
                          "contentFrom must be set"));
  const std::string from = "{configMapKeyRef: {name: m, key: k}}";
  EXPECT_THAT(
      Submit("{runtimeRef: {name: c}, files: [{path: a, content: x, contentFrom: " + from + "}]}"),
      ElementsAre(HasSubstr("exactly one of content")));
  EXPECT_THAT(Submit("{runtimeRef: {name: c}, files: [{path: a, contentFrom: " + from + "}]}"),
              IsEmpty());
  EXPECT_THAT(
      Submit("{runtimeRef: {name: c}, files: [{path: a, content: x}, {path: a, content: y}]}"),
      ElementsAre("spec.files[1]: Duplicate value: {\"path\":\"a\"}"));
  EXPECT_THAT(Submit("{runtimeRef: {name: c}, run: {stdin: x, stdinFrom: " + from + "}}"),
              ElementsAre(HasSubstr("spec.run: Invalid value: \"object\": only one of stdin and "
                                    "stdinFrom")));
  EXPECT_THAT(Submit("{runtimeRef: {name: c}, tests: [{name: a, stdin: x, stdinFrom: " + from +
                     ", expectedStdout: y, expectedStdoutFrom: " + from + "}]}"),
              ElementsAre(HasSubstr("spec.tests[0]"), HasSubstr("spec.tests[0]")));
  EXPECT_THAT(Submit("{runtimeRef: {name: c}, run: {stdinFrom: {configMapKeyRef: {name: m}}}}"),
              Contains("spec.run.stdinFrom.configMapKeyRef.key: Required value"));
}

TEST_F(SubmissionCrd, LimitsAreQuantitiesAndDurations) {
  for (const char* value : {"1500ms", "2s", "1m30s", "2", "0.5", "1.5h", "10us"}) {
    EXPECT_THAT(Submit("{runtimeRef: {name: c}, run: {limits: {cpuTime: '" + std::string(value) +
                       "', wallTime: '" + value + "'}}}"),
                IsEmpty())
        << value;
  }
  for (const char* value : {"256Mi", "1.5Gi", "100k", "1e6", "4096", ".5G"}) {
    EXPECT_THAT(Submit("{runtimeRef: {name: c}, run: {limits: {memory: '" + std::string(value) +
                       "', maxDisk: '" + value + "'}}}"),
                IsEmpty())
        << value;
  }
  EXPECT_THAT(Submit("{runtimeRef: {name: c}, run: {limits: {cpuTime: 2, memory: 4096, "
                     "maxProcesses: 8, maxOpenFiles: 64}}}"),
              IsEmpty());
  for (const char* bad : {"cpuTime: 1 s", "cpuTime: -1s", "cpuTime: fast", "cpuTime: -1",
                          "memory: 12Qi", "memory: -5", "memory: 1 Mi", "maxProcesses: 0"}) {
    EXPECT_THAT(Submit("{runtimeRef: {name: c}, run: {limits: {" + std::string(bad) + "}}}"),
                Contains(HasSubstr("spec.run.limits.")))
        << bad;
  }
  // All mistakes in one answer.
  EXPECT_THAT(
      Submit("{runtimeRef: {name: c}, run: {limits: {cpuTime: x, memory: y, maxStdout: -1}}}"),
      testing::SizeIs(3));
}

TEST_F(SubmissionCrd, BoundsHaveClearMessages) {
  Json spec = FromYaml("{runtimeRef: {name: c}}");
  spec["source"] = std::string(1 << 20, 'x');
  EXPECT_THAT(CheckWith("submissions", {{"spec", spec}}),
              Contains("spec.source: Too long: may not be more than 524288 bytes"));
  spec["source"] = std::string(500'000, 'x');
  EXPECT_THAT(CheckWith("submissions", {{"spec", spec}}), IsEmpty());
  spec["run"] = {{"stdin", std::string(600'000, 'y')}};
  EXPECT_THAT(
      CheckWith("submissions", {{"spec", spec}}),
      ElementsAre(HasSubstr("hold more than 1048576 characters in all; put large input into "
                            "ConfigMaps")));
  spec = FromYaml("{runtimeRef: {name: c}}");
  for (int i = 0; i < 300; ++i) spec["run"]["args"].push_back("x");
  EXPECT_THAT(CheckWith("submissions", {{"spec", spec}}),
              Contains("spec.run.args: Too many: 300: must have at most 256 items"));
  EXPECT_THAT(Submit("{runtimeRef: {name: c}, tests: [{name: a, comparison: fuzzy}]}"),
              Contains("spec.tests[0].comparison: Unsupported value: \"fuzzy\": supported values: "
                       "\"trimmed\", \"exact\""));
  EXPECT_THAT(Submit("{runtimeRef: c, run: [], priority: high}"),
              Contains(HasSubstr("spec.priority")));
}

TEST_F(SubmissionCrd, SpecIsImmutableButForCancel) {
  const std::string base = "runtimeRef: {name: c}, source: a";
  EXPECT_THAT(Change("{" + base + "}", "{" + base + "}"), IsEmpty());
  EXPECT_THAT(Change("{" + base + "}", "{" + base + ", cancel: true}"), IsEmpty());
  EXPECT_THAT(Change("{" + base + ", cancel: true}", "{" + base + "}"),
              ElementsAre("spec.cancel: Forbidden: cancel may go from false to true, never back"));
  EXPECT_THAT(Change("{" + base + "}", "{runtimeRef: {name: c}, source: b}"),
              ElementsAre("spec.source: " + std::string(kImmutable)));
  EXPECT_THAT(Change("{" + base + "}", "{runtimeRef: {name: cpp}, source: a}"),
              ElementsAre("spec.runtimeRef: " + std::string(kImmutable)));
  for (const char* more :
       {"extraPackages: [tcc]", "files: [{path: a, content: x}]", "archive: {content: eA==}",
        "compile: {script: x}", "run: {args: [x]}", "tests: [{name: a}]", "outputFiles: [a]",
        "activeDeadlineSeconds: 5", "ttlSecondsAfterFinished: 5", "priority: 1", "maxAttempts: 1",
        "stopOnFirstFailure: true"}) {
    EXPECT_THAT(Change("{" + base + "}", "{" + base + ", " + more + "}"),
                Contains(HasSubstr(kImmutable)))
        << more;
    EXPECT_THAT(Change("{" + base + ", " + more + "}", "{" + base + "}"),
                Contains(HasSubstr(kImmutable)))
        << more;
  }
}

TEST_F(SubmissionCrd, ATerminalStatusNeverChanges) {
  EXPECT_THAT(ChangeStatus("{phase: Pending}", "{phase: Running}"), IsEmpty());
  EXPECT_THAT(ChangeStatus("{phase: Running, attempt: 1}",
                           "{phase: Completed, verdict: Accepted, attempt: 1}"),
              IsEmpty());
  for (const char* phase : {"Completed", "Failed", "Cancelled"}) {
    const std::string done =
        "{phase: " + std::string(phase) +
        ", attempt: 1, stages: {run: {stdout: a}}, conditions: [{type: Finished, "
        "status: 'True'}, {type: Admitted, status: 'True'}]}";
    EXPECT_THAT(ChangeStatus(done, done), IsEmpty());
    for (const char* other :
         {"{phase: Running}", "{phase: Completed, attempt: 2}", "{phase: Failed, reason: X}", "{}",
          "", "{phase: Completed, attempt: 1, stages: {run: {stdout: b}}}"}) {
      EXPECT_THAT(ChangeStatus(done, other),
                  ElementsAre("status: Forbidden: status is final; a result is written once and "
                              "never changes"))
          << phase << " -> " << other;
    }
  }
}

TEST_F(SubmissionCrd, StatusHoldsAWholeResult) {
  const Json object = {{"spec", FromYaml("{runtimeRef: {name: c}}")}, {"status", FromYaml(R"({
        phase: Completed, reason: Done, message: m, verdict: WrongAnswer, compileCached: false, attempt: 1,
        executor: {pod: p, node: n}, startTime: '2026-01-01T00:00:00Z', queueMillis: 1, overheadMillis: 2,
        completionTime: '2026-01-01T00:00:01Z',
        conditions: [{type: Finished, status: 'True', reason: R, message: m, observedGeneration: 1,
                      lastTransitionTime: '2026-01-01T00:00:01Z'}],
        stages: {compile: {exitStatus: OK, exitCode: 0}, run: {exitStatus: SG, exitSignal: 9, exitMessage: m,
          stdout: a, stderr: b, stdoutEncoding: base64, stderrEncoding: base64, stdoutTruncated: true,
          stderrTruncated: false, stdoutBytes: 1, stderrBytes: 2, cpuTimeMillis: 3, wallTimeMillis: 4,
          memoryBytes: 5, oomKilled: true, limit: wallTime}},
        tests: [{name: t, verdict: Accepted, run: {exitStatus: OK}}],
        outputFiles: [{path: a, content: b, encoding: base64, truncated: true}]})")}};
  EXPECT_THAT(CheckWith("submissions", object), IsEmpty());
}

TEST_F(SubmissionCrd, DefaultsAreFilledIn) {
  const auto crd = Compiled(LoadCrd("submissions"));
  Json object = {{"spec", FromYaml("{runtimeRef: {name: c}, files: [{path: a, content: x}], "
                                   "tests: [{name: t}], run: {}}")}};
  crd->versions.front().schema->Default(&object);
  EXPECT_EQ(object["spec"], FromYaml("{runtimeRef: {name: c}, priority: 0, maxAttempts: 3, cancel: "
                                     "false, stopOnFirstFailure: false, run: {mergeStderr: false}, "
                                     "tests: [{name: t, comparison: trimmed}], files: [{path: a, "
                                     "content: x, encoding: text, executable: false}]}"));
}

TEST_F(OwnCrd, Runtimes) {
  const auto check = [](const std::string& spec) {
    return CheckWith("runtimes", {{"spec", FromYaml(spec)}});
  };
  EXPECT_THAT(check("{environment: {packages: [bash]}, run: {script: x}}"), IsEmpty());
  EXPECT_THAT(check("{run: {script: x}}"), Contains("spec.environment: Required value"));
  EXPECT_THAT(check("{environment: {packages: [bash]}, run: {}}"),
              Contains("spec.run.script: Required value"));
  EXPECT_THAT(check("{environment: {}, run: {script: x}}"),
              ElementsAre(HasSubstr("exactly one of shell and packages")));
  EXPECT_THAT(check("{environment: {packages: ['a b']}, run: {script: x}}"),
              ElementsAre(HasSubstr("spec.environment.packages[0]")));
  EXPECT_THAT(check("{environment: {packages: [bash]}, sourceFile: ../x, run: {script: x}}"),
              ElementsAre(HasSubstr("spec.sourceFile: Invalid value")));
  EXPECT_THAT(check("{environment: {packages: [bash]}, run: {script: x}, selfTests: [{name: a, "
                    "source: x, files: [{path: a, content: b}]}]}"),
              ElementsAre(HasSubstr("only one of source and files")));
}

TEST_F(OwnCrd, ExecutorPools) {
  const auto check = [](const std::string& spec) {
    return CheckWith("executorpools", {{"spec", FromYaml(spec)}});
  };
  EXPECT_THAT(check("{}"), IsEmpty());
  EXPECT_THAT(
      check("{minReplicas: 2, maxReplicas: 2, sandbox: native, template: {resources: {limits: "
            "{cpu: 500m, memory: 2Gi}}, nodeSelector: {a: b}, tolerations: [{key: k}]}}"),
      IsEmpty());
  EXPECT_THAT(
      check("{minReplicas: 3, maxReplicas: 2}"),
      ElementsAre("spec.maxReplicas: Invalid value: \"object\": maxReplicas must be at least "
                  "minReplicas"));
  EXPECT_THAT(check("{sandbox: docker}"), Contains(HasSubstr("Unsupported value: \"docker\"")));
}

TEST_F(OwnCrd, ServedAsPromised) {
  const auto submissions = Compiled(LoadCrd("submissions"));
  EXPECT_TRUE(submissions->namespaced);
  EXPECT_THAT(submissions->names.short_names, ElementsAre("subm"));
  EXPECT_THAT(submissions->names.categories, ElementsAre("envicutor"));
  EXPECT_TRUE(submissions->versions.front().has_status);
  const Json object = {{"metadata", {{"name", "x"}, {"namespace", "n"}}},
                       {"spec", {{"runtimeRef", {{"name", "c"}}}}},
                       {"status", {{"phase", "Running"}}}};
  EXPECT_THAT(
      SelectableValues(submissions->versions.front(), object),
      ElementsAre(testing::Pair("metadata.name", "x"), testing::Pair("metadata.namespace", "n"),
                  testing::Pair("status.phase", "Running"), testing::Pair("status.verdict", ""),
                  testing::Pair("spec.runtimeRef.name", "c")));
  const auto pools = Compiled(LoadCrd("executorpools"));
  EXPECT_FALSE(pools->namespaced);
  ASSERT_TRUE(pools->versions.front().scale.has_value());
  EXPECT_THAT(pools->versions.front().scale->spec_replicas, ElementsAre("spec", "minReplicas"));
  EXPECT_THAT(Compiled(LoadCrd("runtimes"))->names.short_names, ElementsAre("rt"));
}

// kubectl explain must teach the API, and nothing may be without a bound.
void CheckDescribed(const Json& node, const std::string& path) {
  if (path != ".metadata") {
    EXPECT_TRUE(node.contains("description")) << path;
  }
  const std::string type = GetString(node, "type");
  if (type == "string" && !node.contains("enum")) {
    EXPECT_TRUE(node.contains("maxLength")) << path;
  }
  if (type == "array") {
    EXPECT_TRUE(node.contains("maxItems")) << path;
    CheckDescribed(node["items"], path + "[]");
  }
  if (node.contains("additionalProperties")) {
    EXPECT_TRUE(node.contains("maxProperties")) << path;
    CheckDescribed(node["additionalProperties"], path + "{}");
  }
  const Json& properties = At(node, {"properties"});
  for (auto it = properties.begin(); it != properties.end(); ++it) {
    CheckDescribed(*it, path + "." + it.key());
  }
}

TEST_F(OwnCrd, EveryFieldHasADescriptionAndABound) {
  for (const char* name : {"submissions", "runtimes", "executorpools"}) {
    CheckDescribed(At(LoadCrd(name)["spec"]["versions"][0], {"schema", "openAPIV3Schema"}), "");
  }
}

TEST_F(OwnCrd, ExamplesAreValid) {
  for (const char* folder :
       {"docs/examples/runtimes", "docs/examples/runtimes/nixpkgs", "docs/examples/submissions"}) {
    const std::vector<std::string> files = ListSource(folder);
    EXPECT_THAT(files, Not(IsEmpty()));
    for (const std::string& file : files) {
      for (const Json& document : LoadYamlDocuments(file)) {
        const std::string kind = GetString(document, "kind");
        if (kind == "Submission") {
          EXPECT_THAT(CheckWith("submissions", document), IsEmpty()) << file;
        }
        if (kind == "Runtime") {
          EXPECT_THAT(CheckWith("runtimes", document), IsEmpty()) << file;
        }
      }
    }
  }
}

}  // namespace
}  // namespace envicutor::standalone::schema
