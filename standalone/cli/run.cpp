// `envicutor run`, also `kubectl envicutor run`.
#include <unistd.h>

#include <array>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "common/base/encoding.h"
#include "common/base/file.h"
#include "common/kube/resource.h"
#include "standalone/cli/command.h"
#include "standalone/cli/signals.h"
#include "standalone/cli/submission.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxSource = 1U << 20U;
constexpr int kInterrupted = 130;

Result<std::string> ReadStdin(const std::string& file) {
  if (file.empty()) return std::string();
  if (file != "-") return ReadFile(file, kMaxSource);
  std::string text;
  std::array<char, 65536> buffer{};
  ssize_t length = 0;
  while ((length = ::read(0, buffer.data(), buffer.size())) > 0) {
    text.append(buffer.data(), static_cast<size_t>(length));
    if (text.size() > kMaxSource) {
      return ResourceExhausted("--stdin -: more than " + std::to_string(kMaxSource) + " bytes");
    }
  }
  return text;
}

bool Finished(const Json& submission) {
  const std::string phase = GetString(At(submission, {"status"}), "phase");
  return phase == "Completed" || phase == "Failed" || phase == "Cancelled";
}

// One line on a terminal that says where the Submission is.
class Line {
 public:
  Line() : terminal_(::isatty(2) != 0) {}
  ~Line() { Clear(); }
  void Show(const Json& submission) {
    if (!terminal_) return;
    const Json& status = At(submission, {"status"});
    std::string text = GetString(status, "phase", "Pending");
    const std::string reason = GetString(status, "reason");
    const std::string message = GetString(status, "message");
    if (!reason.empty()) text += " (" + reason + ")";
    if (!message.empty()) text += ": " + message;
    std::fprintf(stderr, "\r\033[K%s", text.substr(0, 150).c_str());
    std::fflush(stderr);
    shown_ = true;
  }
  void Clear() {
    if (shown_) std::fputs("\r\033[K", stderr);
    shown_ = false;
  }

 private:
  bool terminal_;
  bool shown_ = false;
};

// Follows it to its end, through broken watches.
Result<Json> Follow(kube::Client& client, Json submission, Line* line, std::stop_token stop) {
  const std::string ns = kube::NamespaceOf(submission);
  const std::string name = kube::NameOf(submission);
  while (!Finished(submission)) {
    if (stop.stop_requested()) return Status(Code::kCancelled, "interrupted");
    line->Show(submission);
    kube::WatchOptions options;
    options.resource_version = kube::ResourceVersionOf(submission);
    options.field_selector = "metadata.name=" + name;
    bool deleted = false;
    const Status watched = client.Watch(
        kube::kSubmissions, ns, options,
        [&](kube::WatchEvent event) {
          if (event.type == kube::WatchEvent::Type::kBookmark) return true;
          deleted = event.type == kube::WatchEvent::Type::kDeleted;
          submission = std::move(event.object);
          line->Show(submission);
          return !deleted && !Finished(submission);
        },
        stop);
    if (deleted) return NotFound("the Submission was deleted before it ended");
    if (Finished(submission) || stop.stop_requested()) continue;
    if (!watched.ok() && watched.code() != Code::kExpired && watched.code() != Code::kUnavailable) {
      return watched;
    }
    ENVICUTOR_ASSIGN(submission, client.Get(kube::kSubmissions, ns, name));
  }
  return submission;
}

void WriteOut(const std::string& text, std::FILE* file) {
  (void)std::fwrite(text.data(), 1, text.size(), file);  // a reader that left wants no more
  std::fflush(file);
}

int SystemFailure(const Status& status) {
  std::fprintf(stderr, "error: %s\n", status.message().c_str());
  return kSystemFailed;
}

}  // namespace

int RunCommand(const Arguments& argv) {
  RunOptions options;
  std::string kubeconfig;
  std::string ns;
  std::string output;
  Flags flags(
      "run FILE [flags] [-- ARGS...]",
      "Runs a program as a Submission, prints its stdout and stderr and exits with its exit "
      "code:\n128+n when signal n ended it, 125 when the system failed.");
  flags.Examples({"envicutor run hello.py", "envicutor run sum.cpp --stdin numbers.txt",
                  "envicutor run main.sh --runtime bash --limit memory=64Mi -- one two"});
  flags.String("runtime", &options.runtime, "NAME",
               "the Runtime; by the file's extension if absent");
  flags.String("stdin", &options.stdin_file, "FILE", "what the program reads; - for our own stdin");
  flags.List("limit", &options.limits, "NAME=VALUE",
             "a limit of the run: memory=64Mi, wallTime=2s");
  flags.List("env", &options.env, "NAME=VALUE", "an environment variable of the run");
  flags.String("kubeconfig", &kubeconfig, "FILE", "which API server");
  flags.String("namespace", &ns, "NS", "where the Submission is created", 'n');
  flags.String("output", &output, "json|yaml", "print the Submission instead of its output", 'o');
  int exit_code = 0;
  if (ParsedToEnd(flags, argv, &exit_code)) return exit_code;
  if (flags.positional().size() != 1) {
    std::fputs("error: exactly one FILE is needed\nSee 'envicutor run --help'.\n", stderr);
    return 2;
  }
  if (const Status checked = CheckOutput(output); !checked.ok()) return SystemFailure(checked);
  options.file = flags.positional()[0];
  options.arguments = flags.rest();
  if (options.runtime.empty()) {
    const Result<std::string> runtime = RuntimeForFile(options.file);
    if (!runtime.ok()) return SystemFailure(runtime.status());
    options.runtime = *runtime;
  }
  const Result<std::string> source = ReadFile(options.file, kMaxSource);
  if (!source.ok()) return SystemFailure(source.status());
  const Result<std::string> stdin_text = ReadStdin(options.stdin_file);
  if (!stdin_text.ok()) return SystemFailure(stdin_text.status());

  SignalStop stop;
  Result<Connection> connection = Connect(kubeconfig);
  if (!connection.ok()) return SystemFailure(connection.status());
  if (ns.empty()) ns = connection->ns;
  const std::string name = "run-" + RandomHex(6);
  const Result<Json> submission = MakeSubmission(options, ns, name, *source, *stdin_text);
  if (!submission.ok()) return SystemFailure(submission.status());
  const Result<Json> created = connection->client->Create(kube::kSubmissions, ns, *submission);
  if (!created.ok()) return SystemFailure(created.status());
  Line line;
  const Result<Json> finished = Follow(*connection->client, *created, &line, stop.token());
  line.Clear();
  if (!finished.ok() && finished.status().code() == Code::kCancelled) {
    (void)connection->client->Patch(kube::kSubmissions, ns, name, kube::PatchType::kMerge,
                                    {{"spec", {{"cancel", true}}}});
    std::fprintf(stderr, "cancelled submission/%s\n", name.c_str());
    return kInterrupted;
  }
  if (!finished.ok()) return SystemFailure(finished.status());
  const RunEnd end = EndOfRun(*finished);
  if (output.empty()) {
    WriteOut(end.out, stdout);
    WriteOut(end.err, stderr);
    if (!end.note.empty()) std::fprintf(stderr, "envicutor: %s\n", end.note.c_str());
  } else {
    Print(*finished, output);
  }
  return end.exit_code;
}

}  // namespace envicutor::standalone
