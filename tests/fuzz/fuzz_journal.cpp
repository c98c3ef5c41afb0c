// The journal's reader: whatever a crash or a disk left. What it accepts it accepts again, alone.
#include <algorithm>
#include <string>
#include <string_view>

#include "executor-agent/journal/format.h"
#include "tests/fuzz/target.h"

namespace journal = envicutor::agent::journal;

namespace {

void Read(std::string_view bytes) {
  const auto state = journal::ReadState(bytes);
  if (!state.ok()) return;
  CHECK(state->valid_bytes <= bytes.size(), "more than there is");
  const auto again = journal::ReadState(bytes.substr(0, state->valid_bytes));
  CHECK(again.ok() && again->records == state->records && again->valid_bytes == state->valid_bytes,
        "the valid prefix reads as something else");
  CHECK(again->runs.size() == state->runs.size(), "other runs");
}

}  // namespace

FUZZ_TARGET(fuzz_journal) {
  const std::string_view bytes = data;
  Read(bytes);
  // A checksum is hard to guess: records made of the input's lines get behind it.
  std::string file(journal::kMagic);
  for (size_t start = 0; start < bytes.size();) {
    const size_t end = std::min(bytes.find('\n', start), bytes.size());
    if (end > start) {
      file += journal::EncodeRecord(static_cast<journal::RecordType>(bytes[start]),
                                    bytes.substr(start + 1, end - start - 1));
    }
    start = end + 1;
  }
  Read(file);
}
