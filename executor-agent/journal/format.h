// The journal's file format, version 1. Pure functions over bytes: any prefix of a valid journal
// reads as the state after its last complete record, whatever follows.
//
//   file:    "ENVJRNL1" record*
//   record:  u32 length, u32 crc32 of the payload (both little-endian), payload of `length` bytes
//   payload: one type byte, then
//            'A' accepted:  JSON {"uid", "attempt"}
//            'R' result:    RunResult as JSON
//            'F' forgotten: JSON {"uid", "attempt"}: acknowledged or given up, it and all before it
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/api/run.h"
#include "common/base/status.h"

namespace envicutor::agent::journal {

inline constexpr std::string_view kMagic = "ENVJRNL1";
inline constexpr size_t kRecordHeaderBytes = 8;
inline constexpr size_t kMaxPayloadBytes = 64U << 20U;

enum class RecordType : char { kAccepted = 'A', kResult = 'R', kForgotten = 'F' };

[[nodiscard]] std::string EncodeRecord(RecordType type, std::string_view body);
[[nodiscard]] std::string EncodeKey(const std::string& uid, int64_t attempt);

// What a journal says at its end.
struct State {
  struct Run {
    int64_t attempt = 0;
    bool has_result = false;
    api::RunResult result;    // with has_result
    uint64_t order = 0;       // of its last record
    size_t record_bytes = 0;  // of that record, header included
  };
  std::map<std::string, Run> runs;  // by uid: a higher attempt takes a lower one's place
  size_t valid_bytes = 0;           // the prefix that was read; the rest is torn or foreign
  uint64_t records = 0;
};

// FailedPrecondition when it begins with another version's magic; InvalidArgument when it is no
// journal. An empty or shorter-than-magic prefix of one is an empty journal.
[[nodiscard]] Result<State> ReadState(std::string_view bytes);

// CRC-32 (IEEE 802.3), as in zlib.
[[nodiscard]] uint32_t Crc32(std::string_view bytes);

}  // namespace envicutor::agent::journal
