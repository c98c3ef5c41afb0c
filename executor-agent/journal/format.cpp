#include "executor-agent/journal/format.h"

#include <algorithm>
#include <array>

#include "common/api/bounds.h"
#include "common/base/json.h"

namespace envicutor::agent::journal {
namespace {

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value & 1U) != 0 ? (value >> 1U) ^ 0xEDB88320U : value >> 1U;
    }
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

void AppendU32(std::string& out, uint32_t value) {
  for (unsigned shift = 0; shift < 32; shift += 8)
    out += static_cast<char>((value >> shift) & 0xFFU);
}

uint32_t U32At(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    value |= uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  }
  return value;
}

struct Key {
  std::string uid;
  int64_t attempt = 0;
};

Result<Key> ReadKey(const Json& object) {
  Key key;
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "uid", &key.uid));
  ENVICUTOR_RETURN_IF_ERROR(ReadInt(object, "attempt", &key.attempt));
  if (key.uid.empty() || key.uid.size() > api::kMaxUidBytes || key.attempt < 1) {
    return InvalidArgument("a record without a run");
  }
  return key;
}

// A record that does not fit what went before (an older attempt, a forgotten run) changes nothing.
Status Apply(State& state, char type, const Json& body, size_t record_bytes) {
  if (type == static_cast<char>(RecordType::kResult)) {
    ENVICUTOR_ASSIGN(api::RunResult result, api::RunResultFromJson(body));
    State::Run& run = state.runs[result.uid];
    if (result.attempt < run.attempt) return OkStatus();
    run = {result.attempt, true, std::move(result), state.records, record_bytes};
    return OkStatus();
  }
  ENVICUTOR_ASSIGN(const Key key, ReadKey(body));
  const auto found = state.runs.find(key.uid);
  if (type == static_cast<char>(RecordType::kAccepted)) {
    if (found != state.runs.end() && key.attempt <= found->second.attempt) return OkStatus();
    state.runs[key.uid] = {key.attempt, false, {}, state.records, record_bytes};
    return OkStatus();
  }
  if (type == static_cast<char>(RecordType::kForgotten)) {
    if (found != state.runs.end() && found->second.attempt <= key.attempt) state.runs.erase(found);
    return OkStatus();
  }
  return InvalidArgument("a record of an unknown type");
}

}  // namespace

uint32_t Crc32(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFFU;
  for (const char c : bytes) {
    crc = kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xFFU] ^ (crc >> 8U);
  }
  return crc ^ 0xFFFFFFFFU;
}

std::string EncodeRecord(RecordType type, std::string_view body) {
  std::string payload(1, static_cast<char>(type));
  payload += body;
  std::string record;
  record.reserve(kRecordHeaderBytes + payload.size());
  AppendU32(record, static_cast<uint32_t>(payload.size()));
  AppendU32(record, Crc32(payload));
  record += payload;
  return record;
}

std::string EncodeKey(const std::string& uid, int64_t attempt) {
  return DumpJson({{"uid", uid}, {"attempt", attempt}});
}

Result<State> ReadState(std::string_view bytes) {
  State state;
  const size_t common = std::min(bytes.size(), kMagic.size());
  if (bytes.substr(0, common) != kMagic.substr(0, common)) {
    constexpr std::string_view kFamily = "ENVJRNL";
    if (bytes.starts_with(kFamily)) {
      return FailedPrecondition("the journal was written by another version of the agent");
    }
    return InvalidArgument("the file is not a journal");
  }
  if (bytes.size() < kMagic.size()) return state;
  state.valid_bytes = kMagic.size();
  while (bytes.size() - state.valid_bytes >= kRecordHeaderBytes) {
    const size_t length = U32At(bytes, state.valid_bytes);
    const size_t left = bytes.size() - state.valid_bytes - kRecordHeaderBytes;
    if (length == 0 || length > kMaxPayloadBytes || length > left) break;
    const std::string_view payload = bytes.substr(state.valid_bytes + kRecordHeaderBytes, length);
    if (Crc32(payload) != U32At(bytes, state.valid_bytes + 4)) break;
    const Result<Json> body = ParseJson(payload.substr(1));
    if (!body.ok()) break;
    if (!Apply(state, payload.front(), *body, kRecordHeaderBytes + length).ok()) break;
    ++state.records;
    state.valid_bytes += kRecordHeaderBytes + length;
  }
  return state;
}

}  // namespace envicutor::agent::journal
