// One object's events, as text and as they are read.
#include "common/kube/watch_decoder.h"

#include <gtest/gtest.h>

namespace envicutor::kube {
namespace {

std::string Line(const std::string& type, const std::string& object) {
  return "{\"type\":\"" + type + "\",\"object\":" + object + "}\n";
}

// All that `text` says, in one piece.
struct Read {
  explicit Read(const std::string& text) {
    WatchDecoder decoder([this](WatchEvent event) {
      events.push_back(std::move(event));
      return true;
    });
    more = decoder.Feed(text);
    status = decoder.status();
  }
  std::vector<WatchEvent> events;
  bool more = false;
  Status status;
};

TEST(WatchDecoder, PiecesOfAnySize) {
  const std::string body =
      "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"managedFields\":[1]}}}\n\n"
      "{\"type\":\"BOOKMARK\",\"object\":{}}\r\n{\"type\":\"DELETED\",\"object\":{}}\n";
  for (size_t size = 1; size <= body.size(); ++size) {
    std::vector<WatchEvent> events;
    WatchDecoder decoder([&](WatchEvent event) {
      events.push_back(std::move(event));
      return true;
    });
    for (size_t at = 0; at < body.size(); at += size) {
      ASSERT_TRUE(decoder.Feed(std::string_view(body).substr(at, size)));
    }
    ASSERT_EQ(3U, events.size()) << size;
    EXPECT_EQ("a", NameOf(events[0].object));
    EXPECT_FALSE(At(events[0].object, {"metadata"}).contains("managedFields"));
    EXPECT_EQ(WatchEvent::Type::kDeleted, events[2].type);
  }
}

TEST(WatchDecoder, StopsAtWhatItCannotRead) {
  for (const char* line : {"{", "[]", "{\"type\":\"ADDED\"}", "{\"type\":\"NEW\",\"object\":{}}"}) {
    WatchDecoder decoder([](const WatchEvent&) {
      ADD_FAILURE();
      return true;
    });
    EXPECT_FALSE(decoder.Feed(std::string(line) + "\n")) << line;
    EXPECT_EQ(Code::kUnavailable, decoder.status().code()) << line;
  }
}

TEST(WatchDecoder, BoundsOneEvent) {
  WatchDecoder decoder([](const WatchEvent&) { return true; });
  const std::string megabyte(1U << 20U, 'x');
  bool more = true;
  for (int i = 0; i < 17 && more; ++i) more = decoder.Feed(megabyte);
  EXPECT_FALSE(more);
}

TEST(WatchDecoder, EachTypeIsItsOwn) {
  using Type = WatchEvent::Type;
  const std::vector<std::pair<const char*, Type>> types = {{"ADDED", Type::kAdded},
                                                           {"MODIFIED", Type::kModified},
                                                           {"DELETED", Type::kDeleted},
                                                           {"BOOKMARK", Type::kBookmark}};
  for (const auto& [name, type] : types) {
    const Read read(Line(name, "{}"));
    ASSERT_EQ(1U, read.events.size()) << name;
    EXPECT_EQ(type, read.events[0].type) << name;
  }
}

TEST(WatchDecoder, AnErrorSaysItsCodeAndEndsIt) {
  const Read read(Line("ADDED", "{}") +
                  Line("ERROR", R"({"kind":"Status","code":410,"message":"too old"})") +
                  Line("ADDED", "{}"));
  EXPECT_FALSE(read.more);
  EXPECT_EQ(1U, read.events.size());
  EXPECT_EQ(Code::kExpired, read.status.code());
  EXPECT_EQ("too old", read.status.message());
  // Without a code and words of its own.
  const Read bare(Line("ERROR", "{}"));
  EXPECT_EQ(Code::kUnavailable, bare.status.code());
  EXPECT_EQ("the API server gave no reason", bare.status.message());
  EXPECT_EQ("Gone", Read(Line("ERROR", R"({"reason":"Gone"})")).status.message());
}

TEST(WatchDecoder, WhoHasHadEnoughIsToldNoMore) {
  const std::string body = Line("ADDED", "{}") + Line("ADDED", "{}");
  for (const size_t first : {size_t{5}, body.size()}) {
    int events = 0;
    WatchDecoder decoder([&](const WatchEvent&) {
      ++events;
      return false;
    });
    EXPECT_EQ(first == 5, decoder.Feed(body.substr(0, first)));
    if (first == 5) {
      EXPECT_FALSE(decoder.Feed(body.substr(first)));
    }
    EXPECT_EQ(1, events);
    EXPECT_TRUE(decoder.status().ok());
  }
}

// What is walked over and what is left to the parser come to the same.
TEST(WatchDecoder, WithoutWhoOwnsWhatInBothWays) {
  const std::string object =
      R"({"metadata":{"name":"a","managedFields":[{"fieldsV1":{"f:x":{}}}],"uid":"u"},"x":[1]})";
  const Json wanted = {{"metadata", {{"name", "a"}, {"uid", "u"}}}, {"x", {1}}};
  for (const std::string name : {"type", "typ\\u0065"}) {
    const Read read("{\"" + name + "\":\"ADDED\",\"object\":" + object + "}\n");
    ASSERT_EQ(1U, read.events.size()) << read.status.ToString();
    EXPECT_EQ(wanted, read.events[0].object);
    const Read odd("{\"" + name + R"(":"ADDED","object":{"metadata":"managedFields"}})" + "\n");
    ASSERT_EQ(1U, odd.events.size()) << odd.status.ToString();
    EXPECT_EQ("managedFields", odd.events[0].object["metadata"]);
    for (const char* none : {R"(":"ADDED","object":[1]})", R"(":"ADDED","objects":{}})"}) {
      const Read refused("{\"" + name + none + "\n");
      EXPECT_FALSE(refused.more);
      EXPECT_EQ(Code::kUnavailable, refused.status.code());
    }
  }
}

TEST(WatchDecoder, OnlyEventsOfObjectsAreSkimmed) {
  std::vector<std::string> asked;
  std::vector<Json> seen;
  WatchDecoder decoder(
      [&](WatchEvent event) {
        seen.push_back(std::move(event.object));
        return true;
      },
      [&](std::string_view object) -> std::optional<Json> {
        asked.emplace_back(object);
        return Json{{"few", true}};
      });
  EXPECT_FALSE(decoder.Feed(Line("DELETED", R"({"x":1})") + Line("BOOKMARK", R"({"x":2})") +
                            Line("ERROR", R"({"code":403,"message":"no"})")));
  EXPECT_EQ(std::vector<std::string>{R"({"x":1})"}, asked);
  EXPECT_EQ((std::vector<Json>{{{"few", true}}, {{"x", 2}}}), seen);
  EXPECT_EQ(Code::kPermissionDenied, decoder.status().code());
}

TEST(WatchDecoder, AsDeepAsAServerTakesAndNoDeeper) {
  const auto nested = [](size_t depth) {
    return Line("ADDED", "{\"x\":" + std::string(depth, '[') + std::string(depth, ']') + "}");
  };
  EXPECT_EQ(1U, Read(nested(500)).events.size());
  const Read deeper(nested(600));
  EXPECT_TRUE(deeper.events.empty());
  EXPECT_EQ(Code::kUnavailable, deeper.status.code());
}

TEST(WatchDecoder, ALargeEventInPiecesAndManyOfThem) {
  int events = 0;
  WatchDecoder decoder([&](const WatchEvent& event) {
    EXPECT_EQ(15U << 20U, event.object["x"].get_ref<const std::string&>().size());
    ++events;
    return true;
  });
  const std::string line = Line("ADDED", "{\"x\":\"" + std::string(15U << 20U, 'x') + "\"}");
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(decoder.Feed(std::string_view(line).substr(0, 10U << 20U)));
    ASSERT_TRUE(decoder.Feed(std::string_view(line).substr(10U << 20U)));
  }
  EXPECT_EQ(2, events);
}

}  // namespace
}  // namespace envicutor::kube
