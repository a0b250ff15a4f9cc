"use strict";
(() => {
  const bar = document.querySelector(".slider");
  if (!bar) return;
  const range = bar.querySelector("input"), told = bar.querySelector("output");
  const layers = range.dataset.layers.split(" "), style = document.head.appendChild(document.createElement("style"));
  const show = () => {
    const gone = layers.slice(0, Number(range.value));
    style.textContent = gone.length
      ? gone.map((layer) => ".t w-" + layer).join() + "{opacity:.35;text-decoration:line-through}" : "";
    told.textContent = gone.length ? "after layer " + gone[gone.length - 1] : "before the first layer";
  };
  bar.hidden = false;
  range.addEventListener("input", show);
  show();
})();
