(function () {
  "use strict";
  var root = document.documentElement;
  var theme = document.getElementById("theme");
  theme.hidden = false;
  theme.addEventListener("click", function () {
    var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  var form = document.getElementById("filter");
  var q = document.getElementById("q"), show = document.getElementById("show");
  var tag = document.getElementById("tag"), count = document.getElementById("count");
  var items = Array.prototype.slice.call(document.querySelectorAll("#items > .item"));
  var texts = null; // made at the first search
  var timer = 0;
  form.hidden = false;
  form.addEventListener("submit", function (e) { e.preventDefault(); });
  function apply() {
    var words = q.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length && !texts) texts = items.map(function (it) { return it.textContent.toLowerCase(); });
    var kind = show.value.slice(0, 2), want = show.value.slice(2), shown = 0;
    items.forEach(function (it, i) {
      var ok = words.every(function (w) { return texts[i].indexOf(w) >= 0; });
      if (kind === "o:") ok = ok && it.dataset.o === want;
      if (kind === "w:") ok = ok && it.dataset.w.indexOf(" " + want + " ") >= 0;
      if (tag && tag.value) ok = ok && it.dataset.t.indexOf(" " + tag.value + " ") >= 0;
      it.hidden = !ok;
      if (ok) shown++;
    });
    count.textContent = shown === items.length ? shown + " items" : shown + " of " + items.length;
  }
  q.addEventListener("input", function () { clearTimeout(timer); timer = setTimeout(apply, 120); });
  show.addEventListener("change", apply);
  if (tag) tag.addEventListener("change", apply);
  apply();
})();
