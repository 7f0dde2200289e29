"use strict";
for (const button of document.querySelectorAll("button.together")) {
  button.addEventListener("click", () => {
    const videos = [...button.parentElement.querySelectorAll("video")];
    // One sound is heard; the others would only blur it.
    videos.forEach((video, index) => {
      video.currentTime = 0;
      video.muted = index > 0;
      video.play().catch(() => {});
    });
  });
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
