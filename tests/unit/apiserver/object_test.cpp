#include "standalone/apiserver/core/object.h"

#include <gtest/gtest.h>

namespace envicutor::standalone {
namespace {

Outline Of(const std::string& text) { return OutlineOf(text); }

TEST(Outline, FindsWhatReadsAndDeletesNeed) {
  const std::string text =
      R"({"apiVersion":"g/v1","kind":"K","metadata":{"finalizers":["f"],"labels":{"a":"}\"{"},)"
      R"("managedFields":[{"fieldsV1":{"f:metadata":{"f:uid":{}}}}],"name":"n","namespace":"ns",)"
      R"("ownerReferences":[{"uid":"other"}],"resourceVersion":"17","uid":"u"},"spec":{"uid":"no"}})";
  const Outline outline = Of(text);
  EXPECT_EQ(outline.api_version.Of(text), "g/v1");
  EXPECT_EQ(outline.name.Of(text), "n");
  EXPECT_EQ(outline.ns.Of(text), "ns");
  EXPECT_EQ(outline.uid.Of(text), "u");
  EXPECT_EQ(outline.version.Of(text), "17");
  EXPECT_EQ(Json::parse(outline.labels.Of(text)), Json({{"a", "}\"{"}}));
  EXPECT_TRUE(outline.has_version);
  EXPECT_TRUE(outline.finalizers);
  EXPECT_TRUE(outline.owners);
  EXPECT_FALSE(outline.terminating);
}

TEST(Outline, OnlyTheMembersOfMetadataCount) {
  const Outline outline =
      Of(R"({"data":{"metadata":{"resourceVersion":"1"}},"involvedObject":{"resourceVersion":"2"},)"
         R"("metadata":{"annotations":{"resourceVersion":"3","deletionTimestamp":"x"},)"
         R"("deletionTimestamp":null,"finalizers":[],"ownerReferences":[ ]}})");
  EXPECT_FALSE(outline.has_version);
  EXPECT_FALSE(outline.terminating);
  EXPECT_FALSE(outline.finalizers);
  EXPECT_FALSE(outline.owners);
}

TEST(Outline, TheApiVersionMayComeLast) {
  const std::string text = R"({ "metadata" : { "uid" : "u" } , "apiVersion" : "v1" })";
  EXPECT_EQ(Of(text).uid.Of(text), "u");
  EXPECT_EQ(Of(text).api_version.Of(text), "v1");
}

TEST(Outline, WhatIsNoJsonHasNone) {
  for (const char* text : {"", "{", "[]", "null", "{\"metadata\"", "{\"metadata\":{\"uid\":\"",
                           "{\"metadata\":{\"uid\":}}", "{\"metadata\":{\"uid\" \"x\"}}",
                           "{\"a\":[[[{", "{\"metadata\":{\"finalizers\":["}) {
    EXPECT_FALSE(Of(text).has_version) << text;
    EXPECT_EQ(Of(text).uid.size, 0U) << text;
  }
}

TEST(Object, IsTheTextOfItsTreeWithTheRevision) {
  const Json json = {{"apiVersion", "v1"},
                     {"metadata", {{"name", "a\"b"}, {"resourceVersion", "gone"}}},
                     {"text", "\xff resourceVersion\":\"\" \\"}};
  const ObjectPtr object = MakeObject(json, 1234);
  EXPECT_EQ(Json::parse(object->Text())["metadata"]["resourceVersion"], "1234");
  EXPECT_EQ(object->Text().size(), object->TextBytes());
  EXPECT_EQ(object->Name(), "a\"b");
  EXPECT_EQ(object->Tree().Copy().at("metadata").at("resourceVersion"), "1234");
  object->DropTree();
  EXPECT_EQ(object->Tree().Copy(), Json::parse(object->Text()));
}

TEST(Object, ReadAgainIsTheSame) {
  const ObjectPtr object = MakeObject({{"apiVersion", "v1"}, {"metadata", {{"name", "a"}}}}, 1234);
  const Result<ObjectPtr> again = ReadObject(object->Text(), 1234);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)->Text(), object->Text());
  EXPECT_FALSE((*again)->HasTree());
  EXPECT_FALSE(ReadObject("{}", 1).ok());
  EXPECT_FALSE(ReadObject("{\"metadata\":{\"resourceVersion\":\"1\"", 1).ok());
}

TEST(Object, TellsWhatItTakesWithItsTreeAndWithout) {
  const ObjectPtr object =
      MakeObject({{"metadata", {{"name", "a"}}}, {"text", std::string(1000, 'x')}}, 1);
  const size_t with_tree = object->HeldBytes();
  object->DropTree();
  EXPECT_GT(object->HeldBytes(), object->TextBytes());
  EXPECT_GT(with_tree, object->HeldBytes() + 1000);
}

}  // namespace
}  // namespace envicutor::standalone
