// Runs a program over a text with all alternatives in step (Pike's machine): no backtracking.
#include "standalone/apiserver/schema/regex.h"
#include "standalone/apiserver/schema/regex_program.h"

namespace envicutor::standalone::schema {
namespace {

using Op = RegexInstruction::Op;
using Assertion = RegexInstruction::Assertion;

bool IsWord(char32_t rune) {
  return (rune >= '0' && rune <= '9') || (rune >= 'A' && rune <= 'Z') ||
         (rune >= 'a' && rune <= 'z') || rune == '_';
}

bool InSet(const RegexInstruction& in, char32_t rune) {
  for (const auto& [low, high] : in.ranges) {
    if (rune >= low && rune <= high) return !in.negated;
  }
  return in.negated;
}

// Threads in order of preference; `mark` makes each instruction appear once a step.
struct ThreadList {
  struct Thread {
    size_t pc;
    size_t begin;
  };
  std::vector<Thread> threads;
  std::vector<uint32_t> mark;
  uint32_t generation = 0;

  explicit ThreadList(size_t size) : mark(size, 0) {}
  void Clear() {
    threads.clear();
    ++generation;
  }
  bool Visit(size_t pc) {
    if (mark[pc] == generation) return false;
    mark[pc] = generation;
    return true;
  }
};

class Machine {
 public:
  Machine(const RegexProgram& program, std::string_view text, int64_t* budget)
      : program_(program), text_(text), budget_(budget), now_(Size()), next_(Size()) {}

  // `any`: stop at the first sign of a match; where it lies does not matter.
  Result<Regex::Span> Run(size_t from, bool any) {
    Regex::Span best;
    now_.Clear();
    size_t pos = from;
    while (true) {
      if (!best.has_value()) Follow(&now_, program_.start, pos, pos);
      if (now_.threads.empty() && best.has_value()) break;
      const size_t here = pos;
      const bool at_end = pos >= text_.size();
      const char32_t rune = at_end ? 0 : DecodeUtf8(text_, &pos);
      next_.Clear();
      for (const ThreadList::Thread& thread : now_.threads) {
        --*budget_;
        const RegexInstruction& in = program_.code[thread.pc];
        if (in.op == Op::kMatch) {
          best = std::make_pair(thread.begin, here);
          if (any) return best;
          break;  // what is preferred less is cut off
        }
        if (!at_end && InSet(in, rune)) Follow(&next_, thread.pc + 1, thread.begin, pos);
      }
      if (--*budget_ < 0) {
        return ResourceExhausted("matching the regular expression costs too much");
      }
      if (at_end) break;
      std::swap(now_, next_);
    }
    return best;
  }

 private:
  [[nodiscard]] size_t Size() const { return program_.code.size(); }

  [[nodiscard]] bool WordBefore(size_t pos) const {
    return pos > 0 && IsWord(static_cast<unsigned char>(text_[pos - 1]));
  }
  [[nodiscard]] bool WordAfter(size_t pos) const {
    return pos < text_.size() && IsWord(static_cast<unsigned char>(text_[pos]));
  }

  [[nodiscard]] bool Holds(Assertion assertion, size_t pos) const {
    switch (assertion) {
      case Assertion::kTextBegin:
        return pos == 0;
      case Assertion::kTextEnd:
        return pos == text_.size();
      case Assertion::kLineBegin:
        return pos == 0 || text_[pos - 1] == '\n';
      case Assertion::kLineEnd:
        return pos == text_.size() || text_[pos] == '\n';
      case Assertion::kWordBoundary:
        return WordBefore(pos) != WordAfter(pos);
      case Assertion::kNotWordBoundary:
        return WordBefore(pos) == WordAfter(pos);
    }
    return false;
  }

  // Adds the threads that `pc` leads to without consuming; an explicit stack, as programs are long.
  void Follow(ThreadList* list, size_t pc, size_t begin, size_t pos) {
    stack_.clear();
    stack_.push_back(pc);
    while (!stack_.empty()) {
      const size_t at = stack_.back();
      stack_.pop_back();
      if (!list->Visit(at)) continue;
      --*budget_;
      const RegexInstruction& in = program_.code[at];
      switch (in.op) {
        case Op::kJump:
          stack_.push_back(in.x);
          break;
        case Op::kSplit:
          stack_.push_back(in.y);
          stack_.push_back(in.x);
          break;
        case Op::kAssert:
          if (Holds(in.assertion, pos)) stack_.push_back(at + 1);
          break;
        case Op::kSet:
        case Op::kMatch:
          list->threads.push_back({at, begin});
          break;
      }
    }
  }

  const RegexProgram& program_;
  std::string_view text_;
  int64_t* budget_;
  ThreadList now_;
  ThreadList next_;
  std::vector<size_t> stack_;
};

}  // namespace

char32_t DecodeUtf8(std::string_view text, size_t* pos) {
  constexpr char32_t kBad = 0xFFFD;
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : static_cast<unsigned char>(0);
  };
  const unsigned char lead = byte(*pos);
  if (lead < 0x80) {
    ++*pos;
    return lead;
  }
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (length == 0 || lead > 0xF4) {
    ++*pos;
    return kBad;
  }
  char32_t rune = lead & (0xFFU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    const unsigned char c = byte(*pos + i);
    if ((c & 0xC0U) != 0x80) {
      ++*pos;
      return kBad;
    }
    rune = (rune << 6U) | (c & 0x3FU);
  }
  *pos += length;
  return rune;
}

Result<bool> Regex::Search(std::string_view text, int64_t* budget) const {
  ENVICUTOR_ASSIGN(const Span span, Machine(*program_, text, budget).Run(0, /*any=*/true));
  return span.has_value();
}

Result<Regex::Span> Regex::Find(std::string_view text, size_t from, int64_t* budget) const {
  return Machine(*program_, text, budget).Run(from, /*any=*/false);
}

}  // namespace envicutor::standalone::schema
