#include "standalone/apiserver/schema/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.h"

namespace envicutor::standalone::schema {
namespace {

using ::testing::ElementsAre;

WallTime At2026(int64_t seconds) {
  return ParseRfc3339("2026-01-01T00:00:00Z").value() + std::chrono::seconds(seconds);
}

std::vector<std::string> ColumnNames(const TablePrinter& printer) {
  std::vector<std::string> names;
  for (const Json& column : printer.Columns()) names.push_back(GetString(column, "name"));
  return names;
}

TEST(Table, Submissions) {
  const auto crd = Compiled(LoadCrd("submissions"));
  const TablePrinter printer = TablePrinter::ForCrd(crd->versions.front());
  EXPECT_THAT(ColumnNames(printer), ElementsAre("Name", "Runtime", "Phase", "Verdict", "CPU",
                                                "Memory", "Age", "Reason", "Message"));
  const Json done = FromYaml(R"({apiVersion: envicutor.io/v1alpha1, kind: Submission,
    metadata: {name: one, namespace: n, creationTimestamp: '2026-01-01T00:00:00Z'},
    spec: {runtimeRef: {name: c}},
    status: {phase: Completed, verdict: Accepted, message: fine, stages: {run: {cpuTimeMillis: 12,
             memoryBytes: 4096}}}})");
  const Json fresh = FromYaml(R"({metadata: {name: two, creationTimestamp: '2026-01-01T00:01:00Z'},
    spec: {environment: {packages: [bash]}}})");
  const Json table = printer.Table({&done, &fresh}, {{"resourceVersion", "7"}},
                                   IncludeObject::kMetadata, At2026(90));
  EXPECT_EQ(table["kind"], "Table");
  EXPECT_EQ(table["apiVersion"], "meta.k8s.io/v1");
  EXPECT_EQ(table["metadata"], Json({{"resourceVersion", "7"}}));
  EXPECT_EQ(table["columnDefinitions"][7]["priority"], 1);
  EXPECT_EQ(table["rows"][0]["cells"],
            Json({"one", "c", "Completed", "Accepted", 12, 4096, "90s", nullptr, "fine"}));
  EXPECT_EQ(table["rows"][1]["cells"],
            Json({"two", nullptr, nullptr, nullptr, nullptr, nullptr, "30s", nullptr, nullptr}));
  EXPECT_EQ(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
  EXPECT_EQ(table["rows"][0]["object"]["metadata"], done["metadata"]);
  EXPECT_FALSE(table["rows"][0]["object"].contains("spec"));
  EXPECT_EQ(printer.Row(done, IncludeObject::kObject, At2026(0))["object"], done);
  EXPECT_TRUE(printer.Row(done, IncludeObject::kNone, At2026(0))["object"].is_null());
  EXPECT_TRUE(
      printer.Table({}, {}, IncludeObject::kNone, At2026(0), false)["columnDefinitions"].empty());
}

TEST(Table, FilteredColumns) {
  const auto crd = Compiled(LoadCrd("runtimes"));
  const Json runtime = FromYaml(R"({metadata: {name: c, creationTimestamp: '2026-01-01T00:00:00Z'},
    spec: {description: C, executorPool: default},
    status: {phase: Ready, environment: {closureSizeBytes: 99},
             conditions: [{type: Built, message: no}, {type: Ready, message: serves}]}})");
  const Json row =
      TablePrinter::ForCrd(crd->versions.front()).Row(runtime, IncludeObject::kNone, At2026(0));
  EXPECT_EQ(row["cells"], Json({"c", "Ready", "C", 99, "0s", "default", "serves"}));
}

TEST(Table, Pods) {
  const TablePrinter printer = TablePrinter::ForBuiltin("", "pods");
  EXPECT_THAT(ColumnNames(printer), ElementsAre("Name", "Ready", "Status", "Restarts", "Age", "IP",
                                                "Node", "Nominated Node", "Readiness Gates"));
  const auto cells = [&](const std::string& yaml) {
    return printer.Row(FromYaml(yaml), IncludeObject::kNone, At2026(60))["cells"];
  };
  const std::string head = "metadata: {name: p, creationTimestamp: '2026-01-01T00:00:00Z'}";
  EXPECT_EQ(
      cells("{" + head +
            ", spec: {nodeName: n, containers: [{name: a}, {name: b}]}, status: "
            "{phase: Running, podIP: 1.2.3.4, containerStatuses: [{ready: true, restartCount: "
            "2, state: {running: {}}}, {ready: false, state: {running: {}}}]}}"),
      Json({"p", "1/2", "Running", "2", "60s", "1.2.3.4", "n", "<none>", "<none>"}));
  EXPECT_EQ(cells("{" + head +
                  ", spec: {containers: [{name: a}]}, status: {phase: Pending, "
                  "containerStatuses: [{state: {waiting: {reason: ImagePullBackOff}}}]}}")[2],
            "ImagePullBackOff");
  EXPECT_EQ(cells("{" + head +
                  ", spec: {containers: [{name: a}]}, status: {phase: Failed, "
                  "containerStatuses: [{state: {terminated: {exitCode: 3}}}]}}")[2],
            "ExitCode:3");
  EXPECT_EQ(
      cells("{metadata: {name: p, deletionTimestamp: '2026-01-01T00:00:00Z'}, status: {phase: "
            "Running}}")[2],
      "Terminating");
}

TEST(Table, OtherBuiltins) {
  EXPECT_THAT(ColumnNames(TablePrinter::ForBuiltin("", "configmaps")),
              ElementsAre("Name", "Data", "Age"));
  EXPECT_THAT(ColumnNames(TablePrinter::ForBuiltin("", "secrets")),
              ElementsAre("Name", "Type", "Data", "Age"));
  EXPECT_THAT(ColumnNames(TablePrinter::ForBuiltin("", "events")),
              ElementsAre("Last Seen", "Type", "Reason", "Object", "Message", "Name"));
  EXPECT_THAT(ColumnNames(TablePrinter::ForBuiltin("coordination.k8s.io", "leases")),
              ElementsAre("Name", "Holder", "Age"));
  EXPECT_THAT(
      ColumnNames(TablePrinter::ForBuiltin("apiextensions.k8s.io", "customresourcedefinitions")),
      ElementsAre("Name", "Created At"));
  const Json event = FromYaml(R"({metadata: {name: e}, involvedObject: {kind: Submission, name: s},
    type: Warning, reason: Failed, message: "no\n", lastTimestamp: '2026-01-01T00:00:00Z'})");
  EXPECT_EQ(
      TablePrinter::ForBuiltin("", "events").Row(event, IncludeObject::kNone, At2026(5))["cells"],
      Json({"5s", "Warning", "Failed", "submission/s", "no", "e"}));
  const Json map = FromYaml("{metadata: {name: m}, data: {a: x, b: y}, binaryData: {c: eA==}}");
  EXPECT_EQ(
      TablePrinter::ForBuiltin("", "configmaps").Row(map, IncludeObject::kNone, At2026(0))["cells"],
      Json({"m", 3, "<unknown>"}));
  const Json node =
      FromYaml("{metadata: {name: n}, status: {conditions: [{type: Ready, status: 'True'}]}}");
  EXPECT_EQ(
      TablePrinter::ForBuiltin("", "nodes").Row(node, IncludeObject::kNone, At2026(0))["cells"][1],
      "Ready");
}

TEST(Table, HumanDurations) {
  const auto human = [](int64_t seconds) { return HumanDuration(std::chrono::seconds(seconds)); };
  EXPECT_EQ(human(-5), "<invalid>");
  EXPECT_EQ(human(-1), "0s");
  EXPECT_EQ(human(119), "119s");
  EXPECT_EQ(human(120), "2m");
  EXPECT_EQ(human(190), "3m10s");
  EXPECT_EQ(human(3600), "60m");
  EXPECT_EQ(human(3 * 3600), "3h");
  EXPECT_EQ(human(4 * 3600 + 1800), "4h30m");
  EXPECT_EQ(human(30 * 3600), "30h");
  EXPECT_EQ(human(50 * 3600), "2d2h");
  EXPECT_EQ(human(30 * 86400), "30d");
  EXPECT_EQ(human(800 * 86400), "2y70d");
}

TEST(Table, IncludeObjectParameter) {
  EXPECT_EQ(ParseIncludeObject("").value(), IncludeObject::kMetadata);
  EXPECT_EQ(ParseIncludeObject("None").value(), IncludeObject::kNone);
  EXPECT_FALSE(ParseIncludeObject("All").ok());
}

}  // namespace
}  // namespace envicutor::standalone::schema
