#include "operator/options.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "common/base/encoding.h"
#include "common/base/file.h"
#include "operator/options_environment.h"
#include "operator/options_section.h"

namespace envicutor::op {
namespace {

constexpr size_t kMaxConfigBytes = 1U << 20U;
constexpr size_t kMaxNamespaces = 10'000;

void ReadLimits(Section& parent, const std::string& key, api::Limits* limits) {
  const YAML::Node child = parent.Child(key);
  Json object = Json::object();
  {
    Section section(child, parent.PathOf(key), parent.errors());
    for (size_t i = 0; i < api::kLimitCount; ++i) {
      const std::string name(api::LimitName(static_cast<api::Limit>(i)));
      std::string text;
      if (section.Scalar(name, &text)) object[name] = text;
    }
  }
  // Counts are integers in a spec; the YAML scalar has no type of its own.
  for (size_t i = 0; i < api::kLimitCount; ++i) {
    const auto limit = static_cast<api::Limit>(i);
    const std::string name(api::LimitName(limit));
    if (api::UnitOf(limit) != api::LimitUnit::kCount || !object.contains(name)) continue;
    const std::string text = object[name].get<std::string>();
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size()) object[name] = value;
  }
  const api::Limits parsed = api::ParseLimits(object, parent.PathOf(key), parent.errors());
  for (size_t i = 0; i < api::kLimitCount; ++i) {
    const auto limit = static_cast<api::Limit>(i);
    if (parsed.Get(limit).has_value()) limits->Set(limit, parsed.Get(limit));
  }
}

void ReadStageLimits(Section& parent, const std::string& key, StageLimitOptions* limits) {
  Section section(parent.Child(key), parent.PathOf(key), parent.errors());
  ReadLimits(section, "default", &limits->defaults);
  ReadLimits(section, "max", &limits->maxima);
  for (size_t i = 0; i < api::kLimitCount; ++i) {
    const auto limit = static_cast<api::Limit>(i);
    const int64_t value = limits->defaults.Value(limit);
    const int64_t maximum = limits->maxima.Value(limit);
    if (value > maximum) {
      section.Fail("default." + std::string(api::LimitName(limit)),
                   api::FormatLimit(limit, value) + " is more than the maximum " +
                       api::FormatLimit(limit, maximum));
    }
  }
}

void CheckAddress(Section& section, const std::string& key, const std::string& address) {
  if (address.empty()) return;
  const size_t colon = address.rfind(':');
  int port = -1;
  if (colon != std::string::npos && colon > 0) {
    const char* first = address.data() + colon + 1;
    const char* last = address.data() + address.size();
    const auto [end, error] = std::from_chars(first, last, port);
    if (error != std::errc() || end != last) port = -1;
  }
  if (port < 0 || port > 65535) section.Fail(key, "\"" + address + "\" is not ADDRESS:PORT");
}

void ReadExecutor(Section& root, Options* options) {
  {
    Section tls(root.Child("executorTls"), "executorTls", root.errors());
    tls.String("caFile", &options->executor_tls.ca_file, true);
    tls.String("certFile", &options->executor_tls.cert_file, true);
    tls.String("keyFile", &options->executor_tls.key_file, true);
    tls.String("serverName", &options->executor_tls.server_name, true);
  }
  Section executor(root.Child("executor"), "executor", root.errors());
  executor.String("image", &options->executor.image, true);
  executor.String("storeHostPath", &options->executor.store_host_path, true);
  if (options->executor.store_host_path.rfind('/', 0) != 0) {
    executor.Fail("storeHostPath",
                  "\"" + options->executor.store_host_path + "\" is not an absolute path");
  }
  executor.Choice<std::string>("sandbox", {{"native", "native"}, {"isolate", "isolate"}},
                               &options->executor.sandbox);
  executor.Bool("allowDegraded", &options->executor.allow_degraded);
}

void ReadBuilder(Section& root, Options* options) {
  Section builder(root.Child("builder"), "builder", root.errors());
  builder.String("image", &options->builder.image, true);
  builder.String("storeHostPath", &options->builder.store_host_path, true);
  if (options->builder.store_host_path.rfind('/', 0) != 0) {
    builder.Fail("storeHostPath",
                 "\"" + options->builder.store_host_path + "\" is not an absolute path");
  }
  builder.String("nixpkgs", &options->builder.nixpkgs);
  builder.Millis("timeout", 1'000, 24LL * 3'600'000, &options->builder.timeout_millis);
  builder.Bytes("memory", 64LL << 20, 1LL << 42, &options->builder.memory_bytes);
  builder.Int("concurrency", 1, 64, &options->builder.concurrency);
}

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Words of nix.conf and of a command line: no white space, no quotes, and no key of ours.
void CheckCacheUrl(Section& section, const std::string& key, const std::string& url) {
  const bool known = StartsWith(url, "file:///") || StartsWith(url, "http://") ||
                     StartsWith(url, "https://") || StartsWith(url, "s3://");
  const bool plain = std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < 127; });
  if (!known || !plain) {
    section.Fail(key, "\"" + url + "\" is not a file:///, http://, https:// or s3:// URL");
  } else if (url.find("secret-key=") != std::string::npos) {
    section.Fail(key, "must not name a secret-key; the key is in the Secret cache.keySecret");
  } else if (const size_t host = url.find("://") + 3;
             url.substr(host, url.find('/', host) - host).find('@') != std::string::npos) {
    section.Fail(key, "must not hold a password; it belongs in the Secret's netrc");
  }
}

// As `nix-store --generate-binary-cache-key` writes it: an ed25519 key has 32 bytes.
void CheckPublicKey(Section& section, const std::string& key, const std::string& text) {
  const size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  const bool named =
      colon != std::string::npos && colon > 0 &&
      std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 127; });
  const Result<std::string> bytes =
      named ? Base64Decode(text.substr(colon + 1)) : Result<std::string>(InvalidArgument(""));
  if (!bytes.ok() || bytes->size() != 32) {
    section.Fail(key, "\"" + text + "\" is not a public key (name:base64 of 32 bytes)");
  }
}

void ReadCache(Section& root, Options* options) {
  CacheOptions& cache = options->cache;
  Section section(root.Child("cache"), "cache", root.errors());
  section.String("url", &cache.url);
  if (!cache.url.empty()) CheckCacheUrl(section, "url", cache.url);
  section.Strings("publicKeys", 8, &cache.public_keys);
  for (size_t i = 0; i < cache.public_keys.size(); ++i) {
    CheckPublicKey(section, "publicKeys[" + std::to_string(i) + "]", cache.public_keys[i]);
  }
  if (!cache.url.empty() && cache.public_keys.empty()) {
    section.Fail("publicKeys", "is required with cache.url: executors accept nothing unsigned");
  }
  const YAML::Node upstreams = section.List("upstreams", 8);
  for (size_t i = 0; IsPlainList(upstreams) && i < upstreams.size(); ++i) {
    Section item(upstreams[i], section.PathOf("upstreams[" + std::to_string(i) + "]"),
                 root.errors());
    CacheUpstream upstream;
    item.String("url", &upstream.url, true);
    item.String("publicKey", &upstream.public_key, true);
    if (!upstream.url.empty()) CheckCacheUrl(item, "url", upstream.url);
    if (!upstream.public_key.empty()) CheckPublicKey(item, "publicKey", upstream.public_key);
    cache.upstreams.push_back(std::move(upstream));
  }
  section.Bytes("maxSize", 64LL << 20, 1LL << 50, &cache.max_size_bytes);
  section.Bytes("executorMaxSize", 64LL << 20, 1LL << 50, &cache.executor_max_size_bytes);
  section.String("keySecret", &cache.key_secret, true);
  section.Millis("gcInterval", 1'000, 30LL * 86'400'000, &cache.gc_interval_millis);
  section.Millis("gcGrace", 1'000, 30LL * 86'400'000, &cache.gc_grace_millis);
}

void ReadScheduling(Section& root, SchedulingOptions* options) {
  Section scheduling(root.Child("scheduling"), "scheduling", root.errors());
  {
    Section weights(scheduling.Child("namespaceWeights"), "scheduling.namespaceWeights",
                    root.errors());
    for (const std::string& ns : weights.Namespaces(kMaxNamespaces)) {
      double weight = 1;
      weights.Weight(ns, &weight);
      options->namespace_weights[ns] = weight;
    }
  }
  const std::string path = "scheduling.inFlightPerNamespace";
  Section in_flight(scheduling.Child("inFlightPerNamespace"), path, root.errors());
  in_flight.Int("default", 0, 1'000'000, &options->in_flight.each);
  Section overrides(in_flight.Child("overrides"), path + ".overrides", root.errors());
  for (const std::string& ns : overrides.Namespaces(kMaxNamespaces)) {
    int64_t most = 0;
    overrides.Int(ns, 0, 1'000'000, &most);
    options->in_flight.overrides[ns] = most;
  }
}

void ReadSubmissions(Section& root, Options* options) {
  {
    Section limits(root.Child("limits"), "limits", root.errors());
    ReadStageLimits(limits, "run", &options->run_limits);
    ReadStageLimits(limits, "compile", &options->compile_limits);
    ReadStageLimits(limits, "extract", &options->extract_limits);
  }
  {
    Section queue(root.Child("queue"), "queue", root.errors());
    queue.Int("maxLength", 1, 10'000'000, &options->queue.max_length);
    queue.Int("perNamespaceMax", 1, 10'000'000, &options->queue.per_namespace_max);
  }
  ReadScheduling(root, &options->scheduling);
  Section submissions(root.Child("submissions"), "submissions", root.errors());
  submissions.Int("ttlSecondsAfterFinished", 0, int64_t{366} * 86'400,
                  &options->submissions.ttl_seconds_after_finished);
  submissions.Choice<AllowEnvironments>("allowEnvironments",
                                        {{"all", AllowEnvironments::kAll},
                                         {"packages", AllowEnvironments::kPackages},
                                         {"none", AllowEnvironments::kNone}},
                                        &options->submissions.allow_environments);
  submissions.Int("runtimeWaitSeconds", 0, 3'600, &options->submissions.runtime_wait_seconds);
  submissions.Int("workers", 1, 64, &options->submissions.workers);
}

void ReadProcess(Section& root, Options* options) {
  {
    Section listen(root.Child("listen"), "listen", root.errors());
    listen.String("probes", &options->listen.probes);
    listen.String("metrics", &options->listen.metrics);
    CheckAddress(listen, "probes", options->listen.probes);
    CheckAddress(listen, "metrics", options->listen.metrics);
  }
  {
    LeaderElectionOptions& leader = options->leader_election;
    Section section(root.Child("leaderElection"), "leaderElection", root.errors());
    section.Bool("enabled", &leader.enabled);
    section.Millis("leaseDuration", 1'000, 3'600'000, &leader.lease_duration_millis);
    section.Millis("renewDeadline", 500, 3'600'000, &leader.renew_deadline_millis);
    section.Millis("retryPeriod", 100, 3'600'000, &leader.retry_period_millis);
    if (leader.renew_deadline_millis >= leader.lease_duration_millis) {
      section.Fail("renewDeadline", api::FormatDurationMillis(leader.renew_deadline_millis) +
                                        " must be less than leaseDuration " +
                                        api::FormatDurationMillis(leader.lease_duration_millis));
    }
    if (leader.retry_period_millis >= leader.renew_deadline_millis) {
      section.Fail("retryPeriod", api::FormatDurationMillis(leader.retry_period_millis) +
                                      " must be less than renewDeadline " +
                                      api::FormatDurationMillis(leader.renew_deadline_millis));
    }
  }
  Section log(root.Child("log"), "log", root.errors());
  log.Choice<log::Level>("level",
                         {{"debug", log::Level::kDebug},
                          {"info", log::Level::kInfo},
                          {"warn", log::Level::kWarn},
                          {"error", log::Level::kError}},
                         &options->log_level);
  log.Choice<log::Format>("format", {{"json", log::Format::kJson}, {"text", log::Format::kText}},
                          &options->log_format);
}

}  // namespace

Result<Options> ParseOptions(std::string_view yaml) {
  if (yaml.size() > kMaxConfigBytes) {
    return InvalidArgument("the configuration is larger than " + std::to_string(kMaxConfigBytes) +
                           " bytes");
  }
  Options options;
  std::vector<std::string> errors;
  try {
    const YAML::Node document = YAML::Load(std::string(yaml));
    Section root(document, "", &errors);
    root.String("kubeconfig", &options.kubeconfig);
    root.String("operatorNamespace", &options.operator_namespace, true);
    root.String("executorNamespace", &options.executor_namespace, true);
    ReadExecutor(root, &options);
    ReadBuilder(root, &options);
    ReadCache(root, &options);
    ReadSubmissions(root, &options);
    ReadProcess(root, &options);
  } catch (const YAML::Exception& error) {
    return InvalidArgument(std::string("not readable as YAML: ") + error.what());
  }
  if (errors.empty()) return options;
  std::string all;
  for (const std::string& error : errors) all += (all.empty() ? "" : "\n") + error;
  return InvalidArgument(all);
}

Result<std::string> ReadOptionsText(const std::string& path) {
  ENVICUTOR_ASSIGN(const std::string text, ReadFile(path, kMaxConfigBytes));
  return ExpandEnvironment(text);
}

Result<Options> LoadOptions(const std::string& path) {
  ENVICUTOR_ASSIGN(const std::string text, ReadOptionsText(path));
  return ParseOptions(text);
}

}  // namespace envicutor::op
