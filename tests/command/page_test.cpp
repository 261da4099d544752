// keyrack dump --format html, as text and as a browser shows it.
#include "harness.hpp"

#include <keyrack/keyrack.hpp>

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

namespace keyrack::command_test {
namespace {

using nlohmann::json;

/// What a page would run if it did not take a key for text.
const std::string kHostile = "<img src=x onerror=\"document.title='broken'\">&amp;";

class Page : public CommandTest {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / segment();
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// Held, stale and idle locks, a hostile key, two who wait, taken and free names.
  void fill() {
    ASSERT_EQ(keyrack({"create", "--url", url("?slots=100&sessions=8")}).status, 0);
    ASSERT_EQ(keyrack({"lock", "job/42", "--signee", "worker-7"}).status, 0);
    ASSERT_EQ(keyrack({"lock", kHostile, "--signee", "<b>anna</b>"}).status, 0);
    ASSERT_EQ(keyrack({"lock", "stale", "--signee", "worker-8", "--duration", "-5s"}).status, 0);
    ASSERT_EQ(keyrack({"lock", "idle", "--signee", "worker-9"}).status, 0);
    ASSERT_EQ(keyrack({"unlock", "idle", "--signee", "worker-9"}).status, 0);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(keyrack({"acquire", "stack"}).status, 0);
    ASSERT_EQ(keyrack({"release", "stack", "1"}).status, 0);
    for (const auto& [key, signee] :
         {std::pair("job/42", "ben"), std::pair(kHostile.c_str(), "carl")}) {    // longest first
      waiters_.push_back(start({"lock", key, "--signee", signee, "--wait", "1h"}));
      ASSERT_TRUE(eventually([&] { return keyrack_json({"dump"}).at("waiters").size() == waiters_.size(); }));
    }
  }

  std::string page(Words options = {}) const {
    Words words{"dump", "--format", "html"};
    words.insert(words.end(), options.begin(), options.end());
    const Ended dumped = keyrack(words);
    EXPECT_EQ(dumped.status, 0) << dumped.err;
    return dumped.out;
  }

  /// The document as the browser has it once the page is loaded; empty if there is no browser.
  std::string in_browser(const std::string& html, const std::string& window = "1200,900") const {
    const std::filesystem::path browser = "/usr/bin/chromium";
    if (!std::filesystem::exists(browser)) return "";
    const std::filesystem::path file = folder_ / "page.html";
    std::ofstream(file) << html;
    Process process({browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--user-data-dir=" + (folder_ / "browser").string(), "--window-size=" + window, "--dump-dom",
                     "file://" + file.string()},
                    {});
    EXPECT_EQ(process.wait(), 0) << process.err();
    return process.out();
  }

  /// What a script finds in the page. The page itself forbids scripts: this is a copy that allows one.
  json probe(std::string html, const std::string& window = "1200,900") const {
    const std::string forbids = "default-src 'none'; style-src 'unsafe-inline'";
    const std::size_t at = html.find(forbids);
    if (at == std::string::npos) {
      ADD_FAILURE() << "the page allows what it does not need";
      return {};
    }
    html.replace(at, forbids.size(), "script-src 'unsafe-inline'; style-src 'unsafe-inline'");
    html.insert(html.find("</body>"), R"(<script>
      const texts = query => [...document.querySelectorAll(query)].map(one => one.textContent.trim());
      const found = {
        title: document.title,
        sections: [...document.querySelectorAll('section')].map(one => one.id),
        locks: texts('#locks td:first-child'), signees: texts('#locks td:nth-child(2)'),
        sessions: texts('#sessions td:first-child').length,
        nodes: texts('#waits g title'),
        names: texts('#families rect title'),
        loaded: performance.getEntriesByType('resource').length,
        images: document.images.length,
        overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        outside: [...document.querySelectorAll('svg rect, svg text')].filter(one => {
          const box = one.getBoundingClientRect(), all = one.ownerSVGElement.getBoundingClientRect();
          return box.height == 0 || box.left < all.left - 1 || box.bottom > all.bottom + 1;
        }).length,
        slots: [...document.querySelectorAll('#occupancy > svg rect')].map(one => one.getBoundingClientRect().width)
                 .reduce((sum, width) => sum + width, 0) /
               document.querySelector('#occupancy > svg').getBoundingClientRect().width,
      };
      document.body.innerHTML = '<pre>BEGIN' + encodeURIComponent(JSON.stringify(found)) + 'END</pre>';
    </script>)");
    const std::string dom = in_browser(html, window);
    const std::size_t begin = dom.find("BEGIN"), end = dom.find("END</pre>");
    if (begin == std::string::npos || end == std::string::npos) return {};
    std::string text;
    for (std::size_t i = begin + 5; i < end; ++i) {
      if (dom[i] == '%') {
        unsigned byte = 0;
        std::from_chars(&dom[i + 1], &dom[i + 3], byte, 16);
        text += static_cast<char>(byte);
        i += 2;
      } else {
        text += dom[i];
      }
    }
    return json::parse(text);
  }

 private:
  std::filesystem::path folder_;
  std::vector<Process> waiters_;
};

#define SKIP_WITHOUT_BROWSER(found) \
  if ((found).empty()) GTEST_SKIP() << "there is no chromium"

TEST_F(Page, IsWholeAndLoadsNothing) {
  fill();
  const std::string html = page();
  EXPECT_TRUE(html.starts_with("<!DOCTYPE html>")) << html.substr(0, 100);
  EXPECT_TRUE(html.ends_with("</html>\n"));
  for (const char* part : {"<script", "<link", "<img", "<b>anna", "href=", "url(", "http:", "https:"}) {
    EXPECT_FALSE(contains(html, part)) << part;
  }
  EXPECT_TRUE(contains(html, "&lt;img src=x onerror=&quot;document.title=&#39;broken&#39;&quot;&gt;&amp;amp;")) << html;
}

TEST_F(Page, InABrowser) {
  fill();
  const json found = probe(page());
  SKIP_WITHOUT_BROWSER(found);
  EXPECT_EQ(found.at("title"), "keyrack: " + segment());
  EXPECT_EQ(found.at("sections"),
            json({"occupancy", "waits", "families", "locks", "names", "waiters", "sessions", "counters"}));
  EXPECT_EQ(found.at("locks"), json({kHostile, "job/42", "stale"}));
  EXPECT_EQ(found.at("signees"), json({"<b>anna</b>", "worker-7", "worker-8"}));
  EXPECT_EQ(found.at("sessions"), 2) << "those who wait";
  ASSERT_EQ(found.at("nodes").size(), 4u) << found;
  EXPECT_TRUE(found.at("nodes")[0].get<std::string>().starts_with("job/42: held by worker-7 for ")) << found;
  EXPECT_TRUE(found.at("nodes")[1].get<std::string>().starts_with("ben: waits ")) << found;
  ASSERT_EQ(found.at("names").size(), 3u) << found;
  EXPECT_EQ(found.at("names")[1], "1: free");
  EXPECT_EQ(found.at("loaded"), 0);
  EXPECT_EQ(found.at("images"), 0);
  EXPECT_EQ(found.at("outside"), 0) << "of the drawings' parts";
  EXPECT_NEAR(found.at("slots").get<double>(), 1.0, 0.01) << "all slots, as wide as the drawing";
}

TEST_F(Page, FitsANarrowWindow) {
  fill();
  for (const char* window : {"2000,900", "500,900"}) {
    const json found = probe(page(), window);
    SKIP_WITHOUT_BROWSER(found);
    EXPECT_LE(found.at("overflow"), 0) << window;
  }
}

TEST_F(Page, RunsNothing) {
  fill();
  const std::string dom = in_browser(page());
  SKIP_WITHOUT_BROWSER(dom);
  EXPECT_TRUE(contains(dom, "<title>keyrack: " + segment() + "</title>")) << dom.substr(0, 500);
  EXPECT_FALSE(contains(dom, "<img"));
  // What would run is stopped by the page's own policy, too.
  std::string broken = page();
  broken.insert(broken.find("</body>"), "<script>document.title = 'broken'</script>" + kHostile);
  EXPECT_TRUE(contains(in_browser(broken), "<title>keyrack: " + segment() + "</title>"));
}

TEST_F(Page, OfAnEmptySegment) {
  ASSERT_EQ(keyrack({"create", "--url", url("?slots=100&sessions=8")}).status, 0);
  const std::string html = page();
  EXPECT_TRUE(contains(html, "Nobody waits.") && contains(html, "No names.")) << html;
  const json found = probe(html);
  SKIP_WITHOUT_BROWSER(found);
  EXPECT_EQ(found.at("locks"), json::array());
  EXPECT_NEAR(found.at("slots").get<double>(), 1.0, 0.01);
}

TEST_F(Page, SaysWhatItLeavesOut) {
  const auto names = open_name_manager(url("?slots=3000&sessions=8"));
  for (int i = 0; i < 2'100; ++i) ASSERT_TRUE(names.value()->acquire("stack"));
  const std::string html = page();
  EXPECT_TRUE(contains(html, "And 100 more: --filter chooses")) << html.substr(html.size() - 2000);
  EXPECT_TRUE(contains(html, "2100 of 2100 held; the first 512 names"));
}

TEST_F(Page, ShowsWhatIsAskedFor) {
  fill();
  const std::string html = page({"--filter", "job/*", "--all"});
  EXPECT_TRUE(contains(html, "job/42"));
  EXPECT_FALSE(contains(html, "worker-8")) << "of another key";
  EXPECT_TRUE(contains(page({"--all"}), ">idle<"));
  EXPECT_EQ(keyrack({"dump", "--format", "html", "--columns", "pid"}).status, 2);
}

}    // namespace
}    // namespace keyrack::command_test
