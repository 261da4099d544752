#include "schema.hpp"

#include "harness.hpp"

namespace keyrack::command_test {
namespace {

using nlohmann::json;

struct Variant {
  std::string what;
  json document;
};

void vary(const json& document, const json::json_pointer& at, std::vector<Variant>& variants) {
  const json& part = document.at(at);
  const auto add = [&](const std::string& fault, auto&& change) {
    variants.push_back({at.to_string() + fault, document});
    change(variants.back().document);
  };
  add(" may be anything", [&](json& other) { other[at] = json{{"odd", 1}}; });
  if (part.is_object()) add(" may have more", [&](json& other) { other[at / "odd"] = "?"; });
  for (const auto& [name, below] : part.items()) {
    if (part.is_object()) {
      add("/" + name + " may be missing", [&, &member = name](json& other) { other.at(at).erase(member); });
      vary(document, at / name, variants);
    } else if (name == "0") {    // the others are like it
      vary(document, at / std::size_t{0}, variants);
    }
  }
}

}    // namespace

void expect_schema(const std::string& command, const std::vector<json>& documents,
                   const std::vector<std::pair<std::string, json>>& wrong) {
  json all = documents;
  std::vector<Variant> variants;
  for (const json& document : documents) {
    vary(document, json::json_pointer(), variants);
    for (const auto& [path, value] : wrong) {
      variants.push_back({path + " may be " + value.dump(), document});
      variants.back().document.at(json::json_pointer(path)) = value;
    }
  }
  for (const Variant& variant : variants) all.push_back(variant.document);

  Process validator(
      {KEYRACK_PYTHON, KEYRACK_COMMAND_TESTS "/validate.py", KEYRACK_SCHEMAS "/" + command + ".schema.json"}, {});
  validator.write(all.dump());
  validator.close_input();
  const int status = validator.wait();
  if (status == 77) GTEST_SKIP() << "Python has no jsonschema";
  ASSERT_EQ(status, 0) << validator.err();
  const json faults = json::parse(validator.out());
  ASSERT_EQ(faults.size(), all.size());
  const std::size_t good = documents.size();
  for (std::size_t i = 0; i < good; ++i) EXPECT_EQ(faults.at(i), json::array()) << documents[i].dump();
  for (std::size_t i = 0; i < variants.size(); ++i) EXPECT_NE(faults.at(good + i), json::array()) << variants[i].what;
}

}    // namespace keyrack::command_test
